"""`llamactl key revoke`: an API key counts no more."""

from __future__ import annotations

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(cls=Command, examples=["llamactl key revoke my-llama team-a"])
@options.name_argument
@click.argument("entry")
@options.dry_run("server")
@options.cluster
def command(name: str, entry: str, dry_run: str) -> None:
    """Take ENTRY out of the Secret of deployment NAME: its key counts no more.

    Servers see that without a restart; requests that are under way are answered to their end. The
    last key is not taken out, since no server starts without one.
    """
    from llamactl import apikey
    from llamactl.kube import open_cluster

    kube = open_cluster()
    dry = dry_run != "none"
    secret = apikey.revoke(kube, kube.deployment(name), entry, dry=dry)
    output.data(f"secret/{secret} entry {entry} revoked{' (server dry run)' if dry else ''}")
