"""`llamactl bench`: how fast an endpoint answers, and how much of it."""

from __future__ import annotations

import click

from llamactl import options
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl bench my-llama",
        "llamactl bench my-llama --concurrency 32 --requests 256 --max-tokens 256",
        "llamactl bench my-llama -o json | jq .ttftMs.p99",
    ],
)
@options.name_argument
@click.option(
    "--requests",
    type=click.IntRange(1, 1_000_000),
    default=64,
    show_default=True,
    help="Requests in all.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 512),
    default=8,
    show_default=True,
    help="Requests that run at once, over all replicas.",
)
@click.option(
    "--prompt-tokens",
    type=click.IntRange(1, 1_000_000),
    default=256,
    show_default=True,
    help="Length of each prompt, about; what the server counted is reported.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1, 1_000_000),
    default=128,
    show_default=True,
    help="Length of each answer.",
)
@click.option(
    "--warmup",
    type=click.IntRange(0, 100),
    default=1,
    show_default=True,
    help="Requests to each replica before the clock starts.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Other prompts.")
@options.output("text", "json", "yaml")
@options.cluster
def command(
    name: str,
    requests: int,
    concurrency: int,
    prompt_tokens: int,
    max_tokens: int,
    warmup: int,
    seed: int,
    fmt: str,
) -> None:
    """Send requests to deployment NAME, several at once, and report times and throughput.

    Every prompt is another one, so that no cache answers for the model. Requests go through the
    API server to every ready replica; opening that way is not counted (tunnelMs has it), its bytes
    are. For figures of hundreds of requests at once, run a client inside the cluster.
    """
    from llamactl import bench
    from llamactl.bench_load import Load

    bench.run(name, Load(requests, concurrency, prompt_tokens, max_tokens, seed), warmup, fmt)
