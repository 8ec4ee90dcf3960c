"""Writes one safetensors file in order: a block is read while others are hashed, written and synced.

A few blocks of rows are in memory, whatever the size of the file. What has been written is synced
and dropped from the page cache every now and then, or a pod's memory limit fills with dirty pages
and its writes stop.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

from llama_weights import volume
from llama_weights.convert.pieces import Target
from llama_weights.convert.safetensors import Output

BLOCK, BLOCKS = 8 << 20, 4
_SYNC_EVERY = 128 << 20


def write(output: Output, directory: Path, staging: Path, step: Callable[[int], None]) -> str:
    """Write the file under a temporary name, sync it and move it in; return its sha256.

    `step` is called with the bytes of every block, before the next; what it raises ends the work
    and leaves nothing under the final name.
    """
    part = staging / f"{output.name}.part"
    descriptor = volume.open_new(part)
    try:
        volume.preallocate(descriptor, output.size, part)
        with _Sink(descriptor, part) as sink:
            sink.put(output.header)
            _copy(output, sink, step)
            sha256 = sink.finish(output.size)
    finally:
        os.close(descriptor)
    with volume.guarded(directory / output.name):
        part.replace(directory / output.name)
    volume.sync_directory(directory)
    return sha256


def _copy(output: Output, sink: _Sink, step: Callable[[int], None]) -> None:
    blocks = list(_blocks(output))
    largest = max(rows * target.row_size for target, _, rows in blocks)
    buffers = cycle([memoryview(bytearray(largest)) for _ in range(BLOCKS)])
    for (target, start, rows), buffer in zip(blocks, buffers, strict=False):
        sink.wait(BLOCKS - 1)
        block = buffer[: rows * target.row_size]
        target.read(start, rows, block)
        sink.put(block)
        step(len(block))


def _blocks(output: Output) -> Iterator[tuple[Target, int, int]]:
    for target in output.targets:
        for start, rows in target.blocks(BLOCK):
            yield target, start, rows


class _Sink:
    """The file being written: hashes what it is given and puts it behind what is there.

    One thread hashes, one writes and one syncs; each keeps the order. A block must stay as it is
    until `wait` says that it is done with.
    """

    def __init__(self, descriptor: int, part: Path) -> None:
        self._descriptor, self._part = descriptor, part
        self._digest = hashlib.sha256()
        self._position = self._synced = 0
        self._under_way: deque[tuple[Future[None], ...]] = deque()
        self._syncing: Future[None] | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> _Sink:
        pools = [self._stack.enter_context(ThreadPoolExecutor(1)) for _ in range(3)]
        self._hasher, self._writer, self._syncer = pools
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def put(self, data: memoryview | bytes) -> None:
        """The next bytes."""
        hashing = self._hasher.submit(self._digest.update, data)
        self._under_way.append((hashing, self._writer.submit(self._write, data)))

    def wait(self, most: int) -> None:
        """Until at most so many blocks are under way. Raises what went wrong with them."""
        while len(self._under_way) > most:
            for future in self._under_way.popleft():
                future.result()

    def finish(self, size: int) -> str:
        """Cut what a longer file left behind, make everything durable; the sha256 of all."""
        self.wait(0)
        self._synced_so_far()
        with volume.guarded(self._part):
            os.ftruncate(self._descriptor, size)
            os.fsync(self._descriptor)
        self._drop(self._synced, self._position)
        return self._digest.hexdigest()

    def _write(self, data: memoryview | bytes) -> None:
        volume.write_at(self._descriptor, data, self._position, self._part)
        self._position += len(data)
        if self._position - self._synced >= _SYNC_EVERY:
            # One sync behind at the most, so that dirty pages stay bounded.
            self._synced_so_far()
            self._syncing = self._syncer.submit(self._sync, self._synced, self._position)
            self._synced = self._position

    def _synced_so_far(self) -> None:
        if self._syncing:
            self._syncing.result()

    def _sync(self, start: int, end: int) -> None:
        with volume.guarded(self._part):
            os.fdatasync(self._descriptor)
        self._drop(start, end)

    def _drop(self, start: int, end: int) -> None:
        os.posix_fadvise(self._descriptor, start, end - start, os.POSIX_FADV_DONTNEED)
