"""`llamactl key show`: the API key of an endpoint, on stdout and nowhere else."""

from __future__ import annotations

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl key show my-llama",
    ],
)
@options.name_argument
@options.cluster
def command(name: str) -> None:
    """Print the API key of deployment NAME; stderr says which Secret it is from.

    It is what the Secret holds: servers that started before a rotation still ask for the old one.
    """
    from llamactl import apikey
    from llamactl.kube import open_cluster

    kube = open_cluster()
    found = apikey.read(kube, kube.deployment(name))
    output.talk(f"Secret {found.secret}, entry {found.entry}:")
    output.data(found.key)
