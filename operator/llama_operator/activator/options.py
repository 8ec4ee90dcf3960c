"""The options of `llama-operator activator`."""

from __future__ import annotations

import click

from llama_operator.option_groups import Decorated, applied

_OPTIONS = (
    click.option("--namespace", required=True, help="Namespace of the LlamaDeployment."),
    click.option("--name", required=True, help="Its name."),
    click.option("--host", default="127.0.0.1", show_default=True, help="Empty: all addresses."),
    click.option(
        "--port",
        default=8790,
        show_default=True,
        type=click.IntRange(0, 65535),
        help="Port of requests.",
    ),
    click.option(
        "--admin-port",
        default=8791,
        show_default=True,
        type=click.IntRange(0, 65535),
        help="Port of health and metrics.",
    ),
    click.option(
        "--idle-after",
        default=600.0,
        show_default=True,
        type=click.FloatRange(min=0.1),
        help="Seconds without a request until the replicas go.",
    ),
    click.option(
        "--hold-timeout",
        default=1800.0,
        show_default=True,
        type=click.FloatRange(min=0.1),
        help="Seconds that a request waits for a server at most.",
    ),
    click.option(
        "--drain-timeout",
        default=60.0,
        show_default=True,
        type=click.FloatRange(min=0),
        help="Seconds for requests under way after SIGTERM.",
    ),
    click.option(
        "--keys", default="", help="Directory whose files are API keys; empty: none asked."
    ),
    click.option(
        "--max-held",
        default=1000,
        show_default=True,
        type=click.IntRange(1, 100000),
        help="Requests that wait at once at most.",
    ),
    click.option(
        "--max-held-bytes",
        default=128 << 20,
        show_default=True,
        type=click.IntRange(1),
        help="Bytes of all requests that wait at most.",
    ),
    click.option(
        "--max-body-bytes",
        default=16 << 20,
        show_default=True,
        type=click.IntRange(1),
        help="Bytes of one request at most.",
    ),
    click.option(
        "--kubeconfig", default="", help="Kubeconfig file; in a pod its own account is used."
    ),
    click.option(
        "--log-format",
        default="json",
        show_default=True,
        type=click.Choice(["json", "text"]),
        help="Form of the log.",
    ),
)


def with_options(command: Decorated) -> Decorated:
    """The command with all of them."""
    return applied(_OPTIONS, command)
