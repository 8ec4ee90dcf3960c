"""What may go from a volume: traces of fetches that nobody goes on with, and copies that are named.

Shared volumes outlive the objects that filled them. A published copy is never taken for rubbish,
because a server may be reading it and nothing on the volume says so; only its user can name it. A
directory whose lock is held belongs to a Job that is at work. And where files lie that no fetch has
made nothing is touched: a wrong `--dest` once must not cost anybody a home directory later.
"""

from __future__ import annotations

import shutil
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llama_weights import copies, manifest, volume
from llama_weights.errors import DownloadError, UsageError, VerifyError
from llama_weights.files import MANIFEST
from llama_weights.lock import Lock
from llama_weights.state import State


@dataclass(frozen=True)
class Rubbish:
    """A directory that may go: why, what it takes of the disk, how long nothing was written.

    `strangers` are files in it that no fetch has made; where there are any it stays.
    """

    path: Path
    why: str
    bytes: int
    idle_seconds: float
    strangers: tuple[str, ...] = ()


def find(root: Path, older_than: float) -> list[Rubbish]:
    """Unfinished fetches and conversions without a write for `older_than` seconds, by path."""
    found = (_rubbish(each, "unfinished") for each in copies.directories(root) if _unfinished(each))
    return [each for each in found if each.idle_seconds >= older_than]


def named(root: Path, name: str) -> Rubbish:
    """A copy that its user names, below `root`. Raises UsageError for anything else."""
    path = (root / name).resolve()
    known = {each.resolve() for each in copies.directories(root)}
    if root.resolve() not in path.parents or path not in known:
        raise UsageError(
            f"{name!r} is no copy below {root}",
            field="--remove",
            fix=f"`llama-weights ls {root}` lists them",
        )
    return _rubbish(path, "named")


def remove(rubbish: Rubbish, stop: threading.Event) -> None:
    """Take a directory away. Raises DownloadError (Locked) when somebody is at work in it."""
    state = State(rubbish.path)
    with volume.guarded(rubbish.path), Lock(state.lock, stop=stop):
        if _damaged(rubbish.path):
            _empty(rubbish.path, state)
        else:
            state.remove()
    # A Job that has begun anew meanwhile keeps what it has: only empty directories go.
    state.leave()


def _rubbish(directory: Path, why: str) -> Rubbish:
    strangers: list[str] = []
    if not _damaged(directory):
        strangers = manifest.unexpected(directory, State(directory).names())
    idle = time.time() - max(_writes(directory))
    return Rubbish(directory, why, volume.used(directory), idle, tuple(strangers))


def _unfinished(directory: Path) -> bool:
    # Damaged is not the same as abandoned: a server may still read it.
    return not (directory / MANIFEST).exists()


def _damaged(directory: Path) -> bool:
    try:
        manifest.load(directory)
    except VerifyError:
        return True
    return False


def _empty(directory: Path, state: State) -> None:
    """Remove all of a copy that was named and whose manifest does not tell what belongs to it."""
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            if entry != state.path:
                shutil.rmtree(entry)
        elif entry.name != MANIFEST:
            entry.unlink()
    (directory / MANIFEST).unlink()


def _writes(directory: Path) -> Iterator[float]:
    yield directory.stat().st_mtime
    for path in directory.rglob("*"):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode):
            yield found.st_mtime


def is_busy(error: Exception) -> bool:
    """Whether a removal failed because somebody is at work."""
    return isinstance(error, DownloadError) and error.reason == "Locked"
