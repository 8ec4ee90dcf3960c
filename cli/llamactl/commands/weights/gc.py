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
        "llamactl weights gc --dry-run -o json | jq '.items[].status.bytes'",
    ],
)
@click.option(
    "--unused-for",
    type=options.Duration(),
    default="24h",
    show_default=True,
    help="Only those that nothing used for so long, such as 1h30m or 7d.",
)
@click.option(
    "--dry-run",
    type=click.Choice(["none", "client", "server"]),
    is_flag=False,
    flag_value="client",
    default="none",
    help="Only list them (client, the default of --dry-run), or have the API server judge it too.",
)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Of all namespaces.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@options.output("table", "wide", "json", "yaml", "name")
@options.cluster
def command(unused_for: float, dry_run: str, everywhere: bool, yes: bool, fmt: str) -> None:
    """List the copies that nothing uses, and delete them after a yes.

    A copy is used by a deployment that names it or serves from it, and kept by one that could
    go back to it. With a copy goes the volume claim that was made for it; a claim that you named
    stays, with the files on it. With -o json, yaml or name, stdout has what was deleted, or what
    --dry-run would delete.
    """
    from llamactl import weights_gc
    from llamactl.kube import open_cluster

    weights_gc.Collecting(open_cluster(), dry_run, fmt, yes, everywhere).run(unused_for)
