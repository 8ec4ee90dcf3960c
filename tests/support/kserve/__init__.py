"""KServe: its real definition of InferenceService, and a stand-in for its controller."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.support.cluster import Cluster, ClusterError
from tests.support.stack import wait_for

NAME = "inferenceservices.serving.kserve.io"
MODULE, VERSION = "github.com/kserve/kserve", "v0.20.0"
# Of the module's content, as Go's checksum database has it.
SUM = "h1:Bs7HxmGV4KFqqptDcWseKv+mwD4YOYHJWcuVgPG2Gug="


def source() -> Path:
    """Where the module lies in Go's own cache; it is brought if it is not there.

    Raises ClusterError for a content that is not the pinned one.
    """
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found = json.loads(done.stdout)
    if found["Sum"] != SUM:
        raise ClusterError(f"{MODULE} {VERSION} has the content {found['Sum']}", f"Expected {SUM}")
    return Path(found["Dir"])


def define(cluster: Cluster) -> None:
    """Install the definition alone."""
    crd = source() / "config/crd/full/serving.kserve.io_inferenceservices.yaml"
    cluster.kubectl("apply", "--server-side", "-f", str(crd))
    wait_for(lambda: _served(cluster), 60, f"{NAME} to be served")


def _served(cluster: Cluster) -> bool:
    try:
        cluster.kubectl("get", NAME, "-A")
    except ClusterError:
        return False
    return True
