"""A Go module's files, from Go's own cache; they are brought by version if they are not there."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path

from tests.support.cluster import ClusterError
from tests.support.cluster.paths import GO_MODULE


@cache
def directory(module: str, digest: str = "", within: Path = GO_MODULE) -> Path:
    """Where `module@version`, or what `within` has pinned of `module`, lies.

    Raises ClusterError for a content without the digest that Go's checksum database has of it.
    """
    done = subprocess.run(
        ["go", "mod", "download", "-json", module],
        cwd=within,
        env={**os.environ, "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found = json.loads(done.stdout)
    if digest and found["Sum"] != digest:
        raise ClusterError(f"{module} has the digest {found['Sum']}", f"Expected {digest}")
    return Path(found["Dir"])


BUILD_SECONDS = 1800


def build(source: Path, package: str, made: Path) -> None:
    """Make a program of a module by the module's own go.mod.

    Its replacements would not count in a module that needs it. Raises ClusterError with what the
    compiler says.
    """
    done = subprocess.run(
        ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(made), package],
        cwd=source,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise ClusterError(f"building {made.name} failed:\n{done.stderr[-2000:]}")
