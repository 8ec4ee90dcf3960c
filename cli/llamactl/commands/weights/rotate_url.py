"""`llamactl weights rotate-url`: a new e-mail of Meta for a copy that is being fetched."""

from __future__ import annotations

from typing import IO

import click

from llamactl import options
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl weights rotate-url from-meta --file url.txt",
        "pbpaste | llamactl weights rotate-url from-meta",
    ],
)
@options.weights_argument
@click.option(
    "--file",
    type=click.File("r"),
    help="File with the URL. Default: stdin; on a terminal you are asked, and nothing is shown.",
)
@options.cluster
def command(name: str, file: IO[str] | None) -> None:
    """Put the URL of Meta's new e-mail into the Secret of the copy NAME.

    The URL is judged first: that it is whole, of the model's family, and has not expired. It is a
    credential, so it is no argument and it is never printed. The fetch goes on where it stopped.
    """
    from llamactl import rotate_url
    from llamactl.kube import open_cluster

    rotate_url.run(open_cluster(), name, file)
