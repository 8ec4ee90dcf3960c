"""Writes one safetensors file in order, hashing it on the way.

Two blocks of rows are in memory: one is read while the other is hashed and written. What has
been written is synced and dropped from the page cache every now and then, or a pod's memory
limit fills with dirty pages and its writes stop.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

from llama_weights import volume
from llama_weights.convert.pieces import Target
from llama_weights.convert.safetensors import Output

BLOCK = 16 << 20
_SYNC_EVERY = 256 << 20


def write(output: Output, directory: Path, staging: Path, step: Callable[[int], None]) -> str:
    """Write the file under a temporary name, sync it and move it in; return its sha256.

    `step` is called with the bytes of every block, before the next; what it raises ends the work
    and leaves nothing under the final name.
    """
    part = staging / f"{output.name}.part"
    descriptor = volume.open_new(part)
    try:
        volume.preallocate(descriptor, output.size, part)
        sink = _Sink(descriptor, part)
        sink.put(output.header)
        _copy(output, sink, step)
        sink.finish(output.size)
    finally:
        os.close(descriptor)
    with volume.guarded(directory / output.name):
        part.replace(directory / output.name)
    volume.sync_directory(directory)
    return sink.sha256


def _copy(output: Output, sink: _Sink, step: Callable[[int], None]) -> None:
    blocks = list(_blocks(output))
    largest = max(rows * target.row_size for target, _, rows in blocks)
    buffers = cycle([memoryview(bytearray(largest)) for _ in range(2)])
    writing: Future[None] | None = None
    with ThreadPoolExecutor(1) as pool:
        for (target, start, rows), buffer in zip(blocks, buffers, strict=False):
            block = buffer[: rows * target.row_size]
            target.read(start, rows, block)
            if writing:
                writing.result()
            writing = pool.submit(sink.put, block)
            step(len(block))
        if writing:
            writing.result()


def _blocks(output: Output) -> Iterator[tuple[Target, int, int]]:
    for target in output.targets:
        for start, rows in target.blocks(BLOCK):
            yield target, start, rows


class _Sink:
    """The file being written: hashes what it is given and puts it behind what is there."""

    def __init__(self, descriptor: int, part: Path) -> None:
        self._descriptor, self._part = descriptor, part
        self._digest = hashlib.sha256()
        self._position = self._synced = 0

    @property
    def sha256(self) -> str:
        """Of all that was put."""
        return self._digest.hexdigest()

    def put(self, data: memoryview | bytes) -> None:
        """The next bytes."""
        volume.write_at(self._descriptor, data, self._position, self._part)
        self._digest.update(data)
        self._position += len(data)
        if self._position - self._synced >= _SYNC_EVERY:
            self._sync()

    def finish(self, size: int) -> None:
        """Cut what a longer file left behind, and make everything durable."""
        with volume.guarded(self._part):
            os.ftruncate(self._descriptor, size)
            os.fsync(self._descriptor)
        self._sync()

    def _sync(self) -> None:
        begin, size = self._synced, self._position - self._synced
        with volume.guarded(self._part):
            os.fdatasync(self._descriptor)
            os.posix_fadvise(self._descriptor, begin, size, os.POSIX_FADV_DONTNEED)
        self._synced = self._position
