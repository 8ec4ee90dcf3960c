"""`llamactl rollout status`: how servers are replaced, and how far that is."""

from __future__ import annotations

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=[
        "llamactl rollout status my-llama",
        "llamactl rollout status my-llama --wait --timeout 20m",
        "llamactl rollout status my-llama -o json",
    ],
)
@options.name_argument
@click.option("--wait", is_flag=True, help="Wait until all servers are of the revision.")
@options.timeout("30m")
@options.output("text", "json", "yaml")
@options.cluster
def command(name: str, wait: bool, timeout: float, fmt: str) -> int:
    """Say how servers of deployment NAME are replaced, how far that is, and why.

    The exit code is 1 where the rollout stands still: a revision was rejected, a start stalled, or
    GPUs are waited for.
    """
    from llamactl import readiness, rollout
    from llamactl.kube import open_cluster

    kube = open_cluster()
    found = kube.deployment(name)
    if wait:
        found = readiness.wait(kube, found, timeout) or found
    if fmt == "text":
        output.data(rollout.page(found, output.width()))
    else:
        output.document(rollout.summary(found), fmt)
    return 1 if rollout.stuck(found) else 0
