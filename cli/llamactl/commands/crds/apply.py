"""`llamactl crds apply`: the kinds that this command knows, into the cluster."""

from __future__ import annotations

import click

from llamactl import options
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl crds apply",
        "llamactl crds apply --dry-run=server",
        "llamactl crds apply --overwrite",
        "llamactl crds apply --dry-run=client -o yaml > crds.yaml",
    ],
)
@click.option("--overwrite", is_flag=True, help="Take over fields that somebody else set.")
@click.option(
    "--downgrade", is_flag=True, help="Also over newer ones; fields that they have are lost."
)
@options.dry_run("client", "server")
@options.timeout("30s")
@options.output("text", "json", "yaml", "name")
@options.cluster
def command(overwrite: bool, downgrade: bool, dry_run: str, timeout: float, fmt: str) -> None:
    """Install or upgrade the CRDs that come with this command.

    Says of each whether the cluster's is older or newer, and refuses to go back: objects would lose
    the fields that only the newer one has. Objects stay; servers are not touched. It needs the
    right to get and patch customresourcedefinitions.
    """
    from llamactl import crds

    if dry_run == "client":
        crds.offline(fmt)
        return
    from llamactl.kube import open_cluster

    crds.run(
        open_cluster(),
        fmt,
        dry=dry_run != "none",
        overwrite=overwrite,
        downgrade=downgrade,
        seconds=timeout,
    )
