"""`llamactl scale`: more or fewer copies of a server."""

from __future__ import annotations

import click

from llamactl import options
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl scale my-llama --replicas 3",
        "llamactl scale my-llama --replicas 3 --wait --timeout 20m",
        "llamactl scale my-llama --replicas 0",
    ],
)
@options.name_argument
@click.option(
    "--replicas",
    type=click.IntRange(0, 10000),
    required=True,
    help="Copies of the server; 0 stops all.",
)
@options.dry_run("server")
@click.option("--wait", is_flag=True, help="Wait until all of them answer.")
@options.timeout("30m")
@options.output("text", "json", "yaml", "name")
@options.cluster
def command(name: str, replicas: int, dry_run: str, wait: bool, timeout: float, fmt: str) -> None:
    """Set the number of replicas of deployment NAME.

    Servers that run are not restarted. With 0, nothing answers; weights, endpoint and API key
    stay. It needs the right to patch llamadeployments/scale, and none to change the rest.
    """
    from llamactl import changing, outcome
    from llamactl.kube import open_cluster

    kube = open_cluster()
    dry = dry_run != "none"
    stored, verb = changing.scale(kube, name, replicas, dry=dry)
    outcome.tell(kube, stored, verb, fmt, dry=dry, wait=timeout if wait else None)
