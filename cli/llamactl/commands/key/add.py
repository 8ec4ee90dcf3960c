"""`llamactl key add`: one more API key, for a team or a client."""

from __future__ import annotations

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=["llamactl key add my-llama team-a"],
)
@options.name_argument
@click.argument("entry")
@options.dry_run("server")
@options.cluster
def command(name: str, entry: str, dry_run: str) -> None:
    """Put one more key into the Secret of deployment NAME, as ENTRY.

    Metrics count requests and tokens by ENTRY. The key is not printed; `key show --entry` does.
    """
    from llamactl import apikey
    from llamactl.kube import open_cluster

    kube = open_cluster()
    dry = dry_run != "none"
    secret = apikey.add(kube, kube.deployment(name), entry, dry=dry)
    output.data(f"secret/{secret} entry {entry} added{' (server dry run)' if dry else ''}")
