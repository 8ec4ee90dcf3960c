"""Definitions of others in a cluster of tests, installed by hand."""

from __future__ import annotations

from pathlib import Path

from tests.support.cluster import Cluster, ClusterError
from tests.support.stack import wait_for


def define(cluster: Cluster, crd: Path, name: str) -> None:
    """Install the definition `name`, and wait until its kind is served."""
    cluster.kubectl("apply", "--server-side", "-f", str(crd))
    # A wait of kubectl's ends at once while the definition has no conditions yet.
    wait_for(lambda: _served(cluster, name), 60, f"{name} to be served")


def _served(cluster: Cluster, name: str) -> bool:
    try:
        cluster.kubectl("get", name, "-A")
    except ClusterError:
        return False
    return True
