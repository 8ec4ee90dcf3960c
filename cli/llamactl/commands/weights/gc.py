"""`llamactl weights gc`: copies that nothing uses."""

from __future__ import annotations

import click

from llamactl import options
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl weights gc --dry-run",
        "llamactl weights gc",
        "llamactl weights gc --unused-for 7d --yes",
    ],
)
@click.option(
    "--unused-for",
    type=options.Duration(),
    default="24h",
    show_default=True,
    help="Only those that nothing used for so long, such as 1h30m or 7d.",
)
@click.option("--dry-run", is_flag=True, help="Only list them.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@options.cluster
def command(unused_for: float, dry_run: bool, yes: bool) -> None:
    """List the copies of a namespace that nothing uses, and delete them after a yes.

    A copy is used by a deployment that names it or serves from it, and kept by one that could
    go back to it. With a copy goes the volume claim that was made for it; a claim that you named
    stays, with the files on it.
    """
    from llamactl import weights_gc
    from llamactl.kube import open_cluster

    weights_gc.run(open_cluster(), unused_for, dry=dry_run, yes=yes)
