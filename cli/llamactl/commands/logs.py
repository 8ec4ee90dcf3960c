"""`llamactl logs`: what the servers of a deployment and the Jobs of its weights have written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from llamactl import options, output
from llamactl.command import Command

if TYPE_CHECKING:
    from llamactl.kube import Kube
    from llamactl.logtail import Line
    from llamactl.podruns import Run


@click.command(
    cls=Command,
    examples=[
        "llamactl logs my-llama",
        "llamactl logs my-llama -f --tail 10",
        "llamactl logs my-llama --weights -f",
        "llamactl logs my-llama --previous --tail 400 | llamactl doctor --log -",
    ],
)
@options.name_argument
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, restarts and new pods.")
@click.option("--previous", is_flag=True, help="Of each container the run before its last restart.")
@click.option("--weights", is_flag=True, help="Only the Jobs that check and fetch the weights.")
@click.option(
    "--tail",
    type=click.IntRange(min=-1),
    default=100,
    show_default=True,
    help="Last lines of each container; -1 for all.",
)
@options.cluster
def command(name: str, follow: bool, previous: bool, weights: bool, tail: int) -> None:
    """Print the logs of deployment NAME: every server, and the Jobs of its weights.

    Each line begins with its pod and container. Remarks, such as a container that has not started
    yet, go to stderr. --follow ends with Ctrl-C or when the deployment is deleted.
    """
    if follow and previous:
        raise click.UsageError("a run before the last restart does not grow; leave --follow out")
    from llamactl import logtail
    from llamactl.kube import open_cluster

    kube = open_cluster()
    query = {"tailLines": str(tail)} if tail >= 0 else {}
    query |= {"previous": "true"} if previous else {}
    kube.deployment(name)  # a name that does not exist is no empty log
    if follow:
        _print(logtail.follow(kube, lambda: _runs(kube, name, weights), query))
        return
    found = _runs(kube, name, weights)
    if not found:
        _nothing(kube, name, weights)
    _print(logtail.once(kube, found or [], query))


def _runs(kube: Kube, name: str, weights: bool) -> list[Run] | None:
    from llama_operator.api import labels
    from llamactl import podruns, view
    from llamactl.resources import DEPLOYMENTS, PODS

    deployment = kube.find(DEPLOYMENTS, name)
    if deployment is None:
        return None
    copy = view.path(deployment, "status", "weights", "name")
    pods = kube.list(PODS, selector=f"{labels.WEIGHTS}={copy}") if copy else []
    if not weights:
        pods += kube.list(PODS, selector=view.servers_selector(name))
    return podruns.runs(pods)


def _nothing(kube: Kube, name: str, weights: bool) -> None:
    from llamactl.errors import CliError

    what = "its weights have no Job at present" if weights else "it has no pods at present"
    raise CliError(
        f"there is no log of {name}: {what}",
        fix="Jobs that are done are removed after a while" if weights else "",
        next=kube.settings.llamactl("status", name),
    )


def _print(lines: Iterator[Line]) -> None:
    for line in lines:
        text = f"{line.run.prefix}{line.text}"
        if line.note:
            output.talk(text)
        else:
            output.data(text)
