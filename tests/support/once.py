"""Build a directory once, whoever asks, however often, and never take half of one for whole.

Virtual environments hold absolute paths, so they cannot be built aside and renamed into place.
Instead a marker beside the directory is written last and holds the key of what was built: an
install that was interrupted has no marker, one of another recipe has another key, and both are
built again from nothing. A file lock keeps two test runs from building at the same time.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def once(target: Path, key: str, build: Callable[[], None]) -> bool:
    """Call `build`, which makes `target`, unless it was made for this `key`; True if it ran.

    What `build` raises passes through, and the next call builds again. Raises FileExistsError
    for a directory with something in it that was not made this way: it would be deleted.
    """
    if is_built(target, key):
        return False
    _refuse_foreign(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(beside(target, "lock")):
        # Somebody else may have built it while this process waited for the lock.
        if is_built(target, key):
            return False
        marker = beside(target, "done")
        marker.unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        build()
        marker.write_text(key)
    return True


def is_built(target: Path, key: str) -> bool:
    """Whether `target` was completely built for `key`."""
    marker = beside(target, "done")
    return target.is_dir() and marker.is_file() and marker.read_text() == key


def _refuse_foreign(target: Path) -> None:
    filled = target.exists() and (not target.is_dir() or any(target.iterdir()))
    # In this order: whoever builds has the lock file before there is anything in the directory.
    if filled and not beside(target, "lock").exists():
        raise FileExistsError(f"{target}: holds files of somebody else; name another directory")


def beside(target: Path, suffix: str) -> Path:
    """The file that belongs to `target` and lies next to it, so that no hub serves it."""
    return target.with_name(f"{target.name}.{suffix}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
