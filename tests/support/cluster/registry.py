"""Remembers which clusters exist, so that those whose owner was killed are removed.

A cluster of a test run is owned by that process; when the process is gone and the entry is still
there, the next start (or `down --orphans`) ends the cluster. One that `up` started has no owner and
stays until `down`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from .paths import cache
from .processes import Identity


def add(directory: Path, *, owned: bool) -> None:
    """Note that a cluster is about to be started in `directory`."""
    owner = Identity.of(os.getpid()) if owned else None
    entry = {"directory": str(directory), "owner": asdict(owner) if owner else None}
    file = _entry(directory)
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps(entry))
    written.rename(file)


def remove(directory: Path) -> None:
    """Forget the cluster of `directory`."""
    _entry(directory).unlink(missing_ok=True)


@contextmanager
def locked() -> Iterator[None]:
    """Let one process at a time end orphans."""
    directory = cache() / "clusters"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def known() -> list[Path]:
    """Directories of all clusters, with and without an owner."""
    return [directory for directory, _ in _entries()]


def orphans() -> list[Path]:
    """Directories of clusters whose owner is gone."""
    return [directory for directory, owner in _entries() if owner and not owner.alive]


def _entries() -> Iterator[tuple[Path, Identity | None]]:
    for file in (cache() / "clusters").glob("*.json"):
        try:
            entry = json.loads(file.read_text())
        except FileNotFoundError:
            continue  # Its cluster has just ended.
        yield Path(entry["directory"]), Identity(**entry["owner"]) if entry["owner"] else None


def _entry(directory: Path) -> Path:
    name = hashlib.sha256(str(directory).encode()).hexdigest()[:16]
    return cache() / "clusters" / f"{name}.json"
