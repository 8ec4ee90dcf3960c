"""`llamactl weights ls`: the copies of a namespace, one line each."""

from __future__ import annotations

import click

from llamactl import options
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl weights ls",
        "llamactl weights ls --watch",
        "llamactl weights ls -A -o wide",
    ],
)
@options.listing
@options.cluster
def command(everywhere: bool, selector: str, watch: bool, fmt: str) -> None:
    """List the LlamaWeights of a namespace.

    While a copy is fetched, SIZE is what lies on the volume of what there is to fetch. URL is how
    long Meta's URL is still good; USERS counts the deployments that use the copy.
    """
    from llamactl.listing import Listing
    from llamactl.resources import WEIGHTS
    from llamactl.weights_view import table

    suggestion = ("weights", "add", "8b")
    Listing(WEIGHTS, table, "copies of weights", suggestion, everywhere, fmt).run(selector, watch)
