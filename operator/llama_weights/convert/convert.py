"""A conversion from beginning to end; what an earlier one has finished is kept.

Nothing is written before everything that can be known from the directory of the shards has been
checked. A file appears under its name only when it is whole and synced, and the manifest last.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from llama_weights import manifest, volume
from llama_weights.convert import layout, params, release, source
from llama_weights.convert.documents import documents
from llama_weights.convert.safetensors import LIMIT, Output, outputs
from llama_weights.convert.writer import write
from llama_weights.errors import DownloadError, Interrupted, UsageError, VerifyError
from llama_weights.files import RemoteFile
from llama_weights.hashing import digests_of
from llama_weights.lock import Lock
from llama_weights.manifest import Entry, Manifest
from llama_weights.meter import Meter
from llama_weights.state import State

JOBS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Order:
    """What to convert and where to; `jobs` files are written at once."""

    source: Path
    destination: Path
    model: str = ""
    jobs: int = JOBS
    file_limit: int = LIMIT


@dataclass(frozen=True)
class _Work:
    """All that the files of a conversion are made from."""

    name: str
    fingerprint: str
    outputs: tuple[Output, ...]
    documents: dict[str, bytes]

    @property
    def files(self) -> list[RemoteFile]:
        """Every file with its size and what identifies its bytes."""
        weights = [
            RemoteFile(each.name, each.size, "sha256", each.identity(self.fingerprint))
            for each in self.outputs
        ]
        small = [
            RemoteFile(name, len(data), "sha256", self.fingerprint)
            for name, data in self.documents.items()
        ]
        return [*weights, *small]


def convert(order: Order, meter: Meter, stop: threading.Event) -> Manifest:
    """Convert, or go on with a conversion that was interrupted; returns what is in the directory.

    Raises FormatError for checkpoints that are broken or not converted, UsageError, VolumeError,
    DownloadError (Locked, or the directory holds something else) and Interrupted.
    """
    meter.phase = "Converting"
    if order.destination.absolute() == order.source.absolute():
        raise UsageError("SRC and DEST are one directory", field="DEST", fix="Name another one")
    name, kind = release.identify(order.model, order.source)
    paths = source.find(order.source)
    raw = params.load(order.source)
    release.check(name, kind, raw)
    sizes = params.parse(raw)
    with source.opened(paths) as shards:
        made = layout.plan(shards, sizes, kind)
        files = outputs(made.targets, order.file_limit)
        small = documents(order.source, kind, sizes, made, files)
        print_ = source.fingerprint(name, raw, shards, small)
        return _converted(order, _Work(name, print_, tuple(files), small), meter, stop)


def _converted(order: Order, work: _Work, meter: Meter, stop: threading.Event) -> Manifest:
    meter.total = sum(file.size for file in work.files)
    state = State(order.destination.absolute())
    found = _complete(state.directory, work)
    if found:
        meter.add(found.total, resumed=True)
        state.sweep(stop)
        return found
    volume.check_space(state.directory, meter.total - _held(state, work))
    try:
        with Lock(state.lock, stop=stop) as lock:
            try:
                return _locked(order, work, state, meter, stop, lock.still_ours)
            finally:
                state.tidy()
    finally:
        state.leave()


def _complete(directory: Path, work: _Work) -> Manifest | None:
    try:
        found = manifest.load(directory)
    except VerifyError:
        return None  # whatever lies there is not published
    if found is None:
        return None
    if found.commit != work.fingerprint:
        raise DownloadError(
            "Failed",
            f"{directory} holds {found.repo}@{found.commit[:12]}, not {work.name}@"
            f"{work.fingerprint[:12]}; a server may be reading it, so it is not changed",
            field="DEST",
            fix="Use one directory per checkpoint",
        )
    return None if manifest.missing(directory, found) else found


def _held(state: State, work: _Work) -> int:
    """Bytes that an earlier run has already taken from the volume."""
    places = [
        place
        for each in work.outputs
        for place in (state.directory / each.name, state.path / f"{each.name}.part")
    ]
    return sum(place.stat().st_blocks * 512 for place in places if place.is_file())


def _locked(
    order: Order,
    work: _Work,
    state: State,
    meter: Meter,
    stop: threading.Event,
    still_ours: Callable[[], None],
) -> Manifest:
    state.begin(work.name, work.fingerprint, work.files)
    entries = _weights(order, work, state, meter, stop)
    for name, data in work.documents.items():
        volume.write_durably(state.directory / name, data, state.path)
        file = RemoteFile(name, len(data), "sha256", "")
        entries.append(Entry(name, len(data), digests_of(file, data).sha256))
        meter.add(len(data))
    still_ours()
    return state.publish(work.name, work.fingerprint, entries)


def _weights(
    order: Order, work: _Work, state: State, meter: Meter, stop: threading.Event
) -> list[Entry]:
    ledger, vouching, halt = state.ledger(), threading.Lock(), threading.Event()

    def step(count: int) -> None:
        meter.add(count)
        if stop.is_set() or halt.is_set():
            raise Interrupted

    def one(output: Output) -> Entry:
        identity = output.identity(work.fingerprint)
        kept = ledger.get((output.name, identity))
        if kept and _is_whole(state.directory / output.name, output.size):
            meter.add(output.size, resumed=True)
            return Entry(output.name, output.size, kept)
        sha256 = write(output, state.directory, state.path, step)
        with vouching:
            state.vouch(RemoteFile(output.name, output.size, "sha256", identity), sha256)
        return Entry(output.name, output.size, sha256)

    with ThreadPoolExecutor(order.jobs, thread_name_prefix="convert") as pool:
        try:
            futures = [pool.submit(one, output) for output in work.outputs]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            halt.set()
            pool.shutdown(wait=True, cancel_futures=True)
    failed = [future.exception() for future in futures if not future.cancelled()]
    # The others were only stopped because of the first that failed for a reason of its own.
    for error in sorted(filter(None, failed), key=lambda each: isinstance(each, Interrupted)):
        raise error
    return [future.result() for future in futures]


def _is_whole(path: Path, size: int) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size == size
