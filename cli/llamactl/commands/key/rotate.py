"""`llamactl key rotate`: a new API key beside the old one."""

from __future__ import annotations

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl key rotate my-llama",
        "llamactl key rotate my-llama --overlap 7d",
        "llamactl key rotate my-llama --entry team-a --overlap 0s",
    ],
)
@options.name_argument
@click.option("--entry", default="default", show_default=True, help="Which key of the Secret.")
@click.option(
    "--overlap",
    type=options.Duration(),
    default="1h",
    show_default=True,
    help=f"How long the old key counts as well, {options.DURATION_HELP}; 0s ends it at once.",
)
@click.option(
    "--restart",
    is_flag=True,
    help="Restart servers that cannot take up a key while they run, one after another.",
)
@options.dry_run("server")
@options.cluster
def command(name: str, entry: str, overlap: float, restart: bool, dry_run: str) -> None:
    """Put a new, random API key into the Secret of deployment NAME.

    The old key goes on to count for --overlap, under an entry whose name says until when, and ends
    by itself. Servers take up the change without a restart. Every deployment that uses the Secret
    is told of, and those that were made before keys could change while a server runs: they must
    restart. The key is not printed; `key show` does.
    """
    from llamactl import apikey
    from llamactl.kube import open_cluster

    apikey.check_overlap(overlap)
    kube = open_cluster()
    dry = dry_run != "none"
    secret = apikey.rotate(kube, kube.deployment(name), entry, overlap, restart=restart, dry=dry)
    output.data(f"secret/{secret} rotated{' (server dry run)' if dry else ''}")
