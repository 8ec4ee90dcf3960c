"""The control group that holds all pods of a node, in every hierarchy of the machine (v1 or v2)."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from .errors import ClusterError

REMOVE_SECONDS = 10.0


def create(name: str) -> None:
    """Make the group; the kubelet refuses a cgroupRoot that does not exist."""
    for root in _hierarchies():
        _delegate(root)
        group = root / name
        group.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            # In v1 a new group has no CPUs, and nothing can be put into it until it has some.
            if (group / file).exists() and (root / file).exists():
                (group / file).write_text((root / file).read_text())


def remove(name: str) -> None:
    """Remove the group with all below; its processes were killed, but the kernel may need a moment.

    Raises ClusterError when something still lives in it after REMOVE_SECONDS.
    """
    deadline = time.monotonic() + REMOVE_SECONDS
    while left := [group for group in _groups(name) if not _remove_tree(group)]:
        if time.monotonic() > deadline:
            raise ClusterError(f"cannot remove {', '.join(map(str, left))}")
        time.sleep(0.05)


def _delegate(root: Path) -> None:
    """In v2 a group has only the controllers that its parent hands down."""
    control = root / "cgroup.subtree_control"
    if not control.exists() or not (root / "cgroup.controllers").read_text().strip():
        return
    for controller in ("cpu", "cpuset", "memory", "pids"):
        # The kubelet names what is missing; a root that holds processes itself refuses here.
        with contextlib.suppress(OSError):
            control.write_text(f"+{controller}")


def _groups(name: str) -> list[Path]:
    return [root / name for root in _hierarchies() if (root / name).exists()]


def _remove_tree(group: Path) -> bool:
    for directory in sorted(group.rglob("*/"), key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):
            directory.rmdir()
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


def _hierarchies() -> list[Path]:
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [Path(mount[1]) for mount in mounts if mount[2] in {"cgroup", "cgroup2"}]
