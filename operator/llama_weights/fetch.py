"""A checkpoint onto a volume: look, lock, download, publish.

What guides it: nothing is written before the hub has been asked and the space is known; one
writer at a time; a directory with a manifest is complete and is never touched again, because a
server may be reading it; a directory without one is never mistaken for a copy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llama_weights import manifest, volume
from llama_weights.download import Download
from llama_weights.errors import DownloadError, VerifyError
from llama_weights.files import RemoteFile
from llama_weights.lock import TTL, Lock
from llama_weights.manifest import Entry, Manifest
from llama_weights.meter import Meter
from llama_weights.part import Part
from llama_weights.retry import Patience
from llama_weights.select import INDEX
from llama_weights.sources.base import Source
from llama_weights.state import State


@dataclass(frozen=True)
class Wish:
    """What to fetch and how; the directory is for this checkpoint alone."""

    directory: Path
    connections: int = 16
    max_bytes_per_second: int = 0
    lock_ttl: float = TTL


def fetch(wish: Wish, source: Source, meter: Meter, patience: Patience) -> Manifest:
    """The manifest of the complete copy. Raises WeightsError; what has come is kept."""
    state = State(wish.directory)
    with volume.guarded(wish.directory):
        found = complete(wish.directory, source)
    if found:
        meter.total = found.total
        meter.add(found.total, resumed=True)
        state.sweep(patience.stop)
        return found
    files = source.wanted()
    meter.total = sum(file.size for file in files)
    volume.check_space(wish.directory, meter.total - _held(state, files))
    try:
        with Lock(state.lock, wish.lock_ttl, patience.stop) as lock:
            try:
                return _locked(wish, source, files, state, meter, patience, lock.still_ours)
            finally:
                state.tidy()
    finally:
        state.leave()


def complete(directory: Path, source: Source) -> Manifest | None:
    """The manifest when all its files are there.

    Raises DownloadError when the directory belongs to another checkpoint.
    """
    try:
        found = manifest.load(directory)
    except VerifyError:
        return None
    if found is None:
        return None
    if (found.repo, found.commit) != (source.repo, source.commit):
        raise DownloadError(
            "Failed",
            f"{directory} holds {found.repo}@{found.commit[:12]}, not {source.repo}@"
            f"{source.commit[:12]}; a server may be reading it, so it is not changed",
            field="--dest",
            fix="Use one directory per commit",
        )
    return None if manifest.missing(directory, found) else found


def _locked(
    wish: Wish,
    source: Source,
    files: Sequence[RemoteFile],
    state: State,
    meter: Meter,
    patience: Patience,
    still_ours: Callable[[], None],
) -> Manifest:
    found = complete(wish.directory, source)  # published while we waited for the lock
    if found:
        meter.add(found.total, resumed=True)
        return found
    state.begin(source.repo, source.commit, files)
    source.noted(state.path)
    kept, parts = _sort_out(wish.directory, state, files)
    meter.add(sum(entry.bytes for entry in kept), resumed=True)
    download = Download(
        source,
        state,
        meter,
        patience,
        connections=wish.connections,
        max_bytes_per_second=wish.max_bytes_per_second,
    )
    entries = [*kept, *download.run(parts)]
    meter.phase = "Publishing"
    _check_index(wish.directory, {file.path for file in files})
    still_ours()
    return state.publish(source.repo, source.commit, entries, source.format)


def _sort_out(
    directory: Path, state: State, files: Sequence[RemoteFile]
) -> tuple[list[Entry], list[Part]]:
    """Files that an earlier run has verified, and parts for all others."""
    ledger = state.ledger()
    kept, parts = [], []
    for file in files:
        path, sha256 = directory / file.path, ledger.get((file.path, file.digest))
        usable = path.is_file() and not path.is_symlink() and path.stat().st_size == file.size
        if usable and sha256:
            kept.append(Entry(file.path, file.size, sha256))
            continue
        part = Part(file, directory, state.path)
        if usable:
            part.adopt(path)
        else:
            path.unlink(missing_ok=True)
        parts.append(part)
    return kept, parts


def _held(state: State, files: Sequence[RemoteFile]) -> int:
    """Bytes already reserved on the volume by an earlier run of the same fetch."""
    ours = [Part(file, state.directory, state.path) for file in files]
    return sum(_blocks(part.path) or _blocks(part.final) for part in ours)


def _blocks(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0


def _check_index(directory: Path, names: set[str]) -> None:
    """The index names every shard; one it names beside those fetched would fail in the server."""
    if INDEX not in names:
        return
    try:
        shards = set(json.loads((directory / INDEX).read_bytes())["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise VerifyError(
            "FilesMissing", f"{INDEX} has no weight_map", fix="Choose another revision"
        ) from None
    missing = sorted(str(shard) for shard in shards if shard not in names)
    if missing:
        raise VerifyError(
            "FilesMissing",
            f"{INDEX} names {len(missing)} shards that the repository lacks: {missing[0][:120]}",
            fix="Choose a revision that was uploaded completely",
        )
