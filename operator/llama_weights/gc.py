"""What may go from a volume: traces of fetches that nobody goes on with, and copies that are named.

Shared volumes outlive the objects that filled them. A published copy is never taken for rubbish,
because a server may be reading it and nothing on the volume says so; only its user can name it. A
directory whose lock is held belongs to a Job that is at work.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llama_weights import copies, manifest, volume
from llama_weights.errors import DownloadError, UsageError, VerifyError
from llama_weights.files import MANIFEST, STATE_DIRECTORY
from llama_weights.lock import Lock
from llama_weights.state import LOCK


@dataclass(frozen=True)
class Rubbish:
    """A directory that may go: why, what it takes of the disk, how long nothing was written."""

    path: Path
    why: str
    bytes: int
    idle_seconds: float


def find(root: Path, older_than: float) -> list[Rubbish]:
    """Unfinished and leftover directories without a write for `older_than` seconds, by path."""
    found = []
    for directory in copies.directories(root):
        why = _why(directory)
        idle = time.time() - _last_write(directory)
        if why and idle >= older_than:
            found.append(Rubbish(directory, why, volume.used(directory), idle))
    return found


def named(root: Path, name: str) -> Rubbish:
    """A copy that its user names, below `root`. Raises UsageError for anything else."""
    path = (root / name).resolve()
    if root.resolve() not in path.parents or path not in {
        each.resolve() for each in copies.directories(root)
    }:
        raise UsageError(
            f"{name!r} is no copy below {root}",
            field="--remove",
            fix=f"`llama-weights ls {root}` lists them",
        )
    return Rubbish(path, "named", volume.used(path), time.time() - _last_write(path))


def remove(rubbish: Rubbish, stop: threading.Event) -> None:
    """Take a directory away. Raises DownloadError (Locked) when somebody is at work in it.

    The manifest goes first, so that what an interruption leaves is no copy.
    """
    directory = rubbish.path
    with volume.guarded(directory), Lock(directory / STATE_DIRECTORY / LOCK, stop=stop):
        (directory / MANIFEST).unlink(missing_ok=True)
        for entry in directory.iterdir():
            if entry.name != STATE_DIRECTORY:
                _take(entry)
    with volume.guarded(directory):
        shutil.rmtree(directory)


def _take(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _why(directory: Path) -> str:
    try:
        published = manifest.load(directory) is not None
    except VerifyError:
        return ""  # damaged is not the same as abandoned: a server may still read it
    if not published:
        return "unfinished"
    # Originals of Meta are kept only until the copy beside them is there, or where that is wished.
    converted = directory.name.removesuffix(".original")
    done = converted != directory.name and (directory.with_name(converted) / MANIFEST).exists()
    return "converted" if done else ""


def _last_write(directory: Path) -> float:
    return max((found.st_mtime for found in _entries(directory)), default=0.0)


def _entries(directory: Path) -> Iterator[os.stat_result]:
    yield directory.stat()
    for path in directory.rglob("*"):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode):
            yield found


def is_busy(error: Exception) -> bool:
    """Whether a removal failed because somebody is at work."""
    return isinstance(error, DownloadError) and error.reason == "Locked"
