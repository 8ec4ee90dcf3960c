"""The options of `llama-operator run` on health and metrics."""

from __future__ import annotations

import click

from llama_operator.option_groups import Decorated, applied

_OPTIONS = (
    click.option(
        "--health-port",
        default=8081,
        show_default=True,
        type=click.IntRange(1, 65535),
        help="Port of /healthz, /readyz and /metrics.",
    ),
    click.option(
        "--health-host",
        default="127.0.0.1",
        show_default=True,
        help="Address it listens on; 0.0.0.0 in a pod.",
    ),
    click.option(
        "--metrics-tls-dir",
        default="",
        metavar="DIRECTORY",
        help="Serve all three over TLS, with tls.crt and tls.key of this directory, which are read again "
        "when they change.",
    ),
    click.option(
        "--metrics-client-ca",
        default="",
        metavar="FILE",
        help="Show /metrics to clients with a certificate of these authorities only.",
    ),
    click.option(
        "--metrics-per-object/--no-metrics-per-object",
        default=False,
        show_default=True,
        help="Series of each LlamaDeployment and LlamaWeights; dashboards and alerts need them.",
    ),
)


def with_options(command: Decorated) -> Decorated:
    """The command with all of them."""
    return applied(_OPTIONS, command)
