"""`llamactl key rotate`: a new API key for an endpoint."""

from __future__ import annotations

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=["llamactl key rotate my-llama", "llamactl key rotate my-llama --restart"],
)
@options.name_argument
@click.option(
    "--restart", is_flag=True, help="Restart its servers, one after another, to take up the key."
)
@options.dry_run("server")
@options.cluster
def command(name: str, restart: bool, dry_run: str) -> None:
    """Put a new, random API key into the Secret of deployment NAME.

    vLLM reads its key when it starts: servers that run go on with the old one until they restart.
    What must restart is said, for every deployment that uses the Secret. The key is not printed;
    `key show` does.
    """
    from llamactl import apikey
    from llamactl.kube import open_cluster

    kube = open_cluster()
    dry = dry_run != "none"
    secret = apikey.rotate(kube, kube.deployment(name), restart=restart, dry=dry)
    output.data(f"secret/{secret} rotated{' (server dry run)' if dry else ''}")
