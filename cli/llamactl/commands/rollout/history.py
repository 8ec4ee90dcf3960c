"""`llamactl rollout history`: the revisions that are kept."""

from __future__ import annotations

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl rollout history my-llama",
        "llamactl rollout history my-llama -o yaml",
    ],
)
@options.name_argument
@options.output("table", "json", "yaml", "name")
@options.cluster
def command(name: str, fmt: str) -> None:
    """List the revisions of deployment NAME, the newest first, and what each changed.

    spec.rollout.historyLimit earlier ones are kept, with the weights that they mount.
    """
    from llamactl import history
    from llamactl.kube import open_cluster

    kube = open_cluster()
    deployment = kube.deployment(name)
    found = history.read(kube, name)
    if fmt in ("json", "yaml"):
        output.document(output.object_list(found), fmt)
    elif fmt == "name":
        for each in found:
            output.data(history.name_of(each))
    elif found:
        output.data(history.table(deployment, found, output.width()))
    else:
        output.talk(f"{name} has no revision yet: one is made with its first server.")
