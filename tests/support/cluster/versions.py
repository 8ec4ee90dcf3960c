"""The pinned versions, read out of go.mod so that they are written down once."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from .errors import ClusterError
from .paths import GO_MODULE


@cache
def module_version(module: str, directory: Path = GO_MODULE) -> str:
    """Version (`v1.2.3`) that the go.mod of `directory` requires of `module`.

    Raises ClusterError when it does not.
    """
    text = (directory / "go.mod").read_text()
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if not found:
        raise ClusterError(f"{directory}/go.mod does not require {module}")
    return found[1]


def kubernetes() -> str:
    """The pinned Kubernetes version, such as v1.36.3."""
    return module_version("k8s.io/kubernetes")


def minor(version: str) -> tuple[int, int]:
    """Major and minor number of a version such as `v1.36.3` or `Kubernetes v1.36.3`."""
    found = re.search(r"(\d+)\.(\d+)(?:\.\d+)", version)
    if not found:
        raise ClusterError(f"no version number in {version!r}")
    return int(found[1]), int(found[2])
