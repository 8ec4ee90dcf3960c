"""The copies below a directory, complete or not, as `llama-weights ls` shows them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llama_weights import manifest, volume
from llama_weights.errors import VerifyError
from llama_weights.files import MANIFEST, STATE_DIRECTORY

_DEPTH = 5


@dataclass(frozen=True)
class Copy:
    """One directory with a manifest or the traces of a fetch."""

    path: str
    repo: str
    commit: str
    files: int
    bytes: int
    state: str


def copies(root: Path) -> list[Copy]:
    """All copies below a directory (and itself), sorted by path."""
    return [_copy(root, found) for found in directories(root)]


def directories(root: Path) -> list[Path]:
    """Where there is a manifest or the traces of a fetch, sorted."""
    return sorted(_find(root, _DEPTH))


def _find(directory: Path, depth: int) -> Iterator[Path]:
    try:
        with os.scandir(directory) as entries:
            listed = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except PermissionError:
        return
    if MANIFEST in listed or STATE_DIRECTORY in listed:
        yield directory
    elif depth:
        for name in sorted(name for name, folder in listed.items() if folder):
            yield from _find(directory / name, depth - 1)


def _copy(root: Path, directory: Path) -> Copy:
    path = directory.relative_to(root).as_posix()
    try:
        found = manifest.load(directory)
    except VerifyError:
        return Copy(path, "", "", 0, 0, "damaged: manifest.json is unreadable")
    if found is None:
        present = [each for each in directory.iterdir() if each.is_file()]
        return Copy(path, "", "", len(present), volume.used(directory), "incomplete")
    missing = manifest.missing(directory, found)
    state = f"damaged: {missing[0]} is missing" if missing else "complete"
    return Copy(path, found.repo, found.commit, len(found.files), found.total, state)
