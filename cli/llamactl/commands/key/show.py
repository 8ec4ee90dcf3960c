"""`llamactl key show`: the API key of an endpoint, on stdout and nowhere else."""

from __future__ import annotations

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl key show my-llama",
        "llamactl key show my-llama --entry team-a",
    ],
)
@options.name_argument
@click.option("--entry", default="", help="Which key. Default: default, else the first one.")
@options.cluster
def command(name: str, entry: str) -> None:
    """Print the API key of deployment NAME; stderr says which Secret it is from.

    It is what the Secret holds: servers take up a change within two minutes.
    """
    from llamactl import apikey
    from llamactl.kube import open_cluster

    kube = open_cluster()
    found = apikey.read(kube, kube.deployment(name), entry)
    output.talk(f"Secret {found.secret}, entry {found.entry}:")
    output.data(found.key)
