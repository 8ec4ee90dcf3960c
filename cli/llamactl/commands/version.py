"""`llamactl version`: what runs here, and what the cluster has."""

from __future__ import annotations

from typing import Any

import click

from llamactl import options, output
from llamactl.command import Command


@click.command(
    cls=Command,
    examples=["llamactl version", "llamactl version --client", "llamactl version -o json"],
)
@click.option("--client", is_flag=True, help="Only this command's version; asks no cluster.")
@options.output("table", "json", "yaml")
@options.cluster
def command(client: bool, fmt: str) -> None:
    """Print the versions of llamactl, of the Kubernetes API server and of our API in it."""
    found = {"llamactl": _own_version()}
    if not client:
        found |= _server()
    if fmt in ("json", "yaml"):
        output.document(found, fmt)
        return
    from llamactl.table import pairs

    output.data(pairs(list(found.items()), output.width()))


def _own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("llama-operator")
    except PackageNotFoundError:
        return "unknown (not installed)"


def _server() -> dict[str, Any]:
    from llamactl import discovery
    from llamactl.kube import open_cluster
    from llamactl.resources import DEPLOYMENTS

    kube = open_cluster()
    served = discovery.versions(kube, DEPLOYMENTS.group)
    return {
        "kubernetes": discovery.server_version(kube),
        DEPLOYMENTS.group: ", ".join(served) or "not installed",
    }
