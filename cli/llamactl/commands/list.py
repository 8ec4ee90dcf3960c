"""`llamactl list`: what is deployed, one line each."""

from __future__ import annotations

import click

from llamactl import options
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl list",
        "llamactl list -A -o wide",
        "llamactl list -o name | xargs -n1 kubectl get",
    ],
)
@options.listing
@options.cluster
def command(everywhere: bool, selector: str, watch: bool, fmt: str) -> None:
    """List the LlamaDeployments of a namespace.

    READY counts replicas that answer; REASON says what the others wait for.
    """
    from llamactl.list_view import table
    from llamactl.listing import Listing
    from llamactl.resources import DEPLOYMENTS

    Listing(DEPLOYMENTS, table, "deployments", ("deploy", "8b"), everywhere, fmt).run(
        selector, watch
    )
