"""Many connections and a few hashers, working on one schedule until every file has its name.

Memory does not grow with the checkpoint: one of 800 GB needs no more than one of 8. What a crash
costs is bounded as well: bytes in buffers and bytes that are not yet in the journal. A mismatch is
fetched once more, as a proxy's cache may be to blame; the second one ends the fetch and leaves no
byte of that file behind.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence

from llama_weights.errors import DownloadError, Interrupted, VerifyError, WeightsError
from llama_weights.hashing import Digests, follow, is_published
from llama_weights.manifest import Entry
from llama_weights.meter import Meter, Throttle
from llama_weights.part import Part
from llama_weights.retry import Attempts, Patience
from llama_weights.schedule import Schedule
from llama_weights.sources.base import Source, Stream
from llama_weights.sources.body import RangeIgnoredError, cut
from llama_weights.state import State
from llama_weights.task import Task

BUFFER = 1 << 20
# All connections together have no more than twice this in buffers, and unrecorded on the disk.
AT_RISK = 32 << 20
JOURNAL_SECONDS = 0.25
HASHERS = min(4, os.cpu_count() or 1)
_TRIES = 100
_GRACE, _STUCK = 5.0, 0.2


class Download:
    """Fetches parts; `run` returns the entries of the manifest."""

    def __init__(
        self,
        source: Source,
        state: State,
        meter: Meter,
        patience: Patience,
        *,
        connections: int,
        max_bytes_per_second: int = 0,
    ) -> None:
        self._source, self._state, self._meter = source, state, meter
        self._patience, self._stop = patience, threading.Event()
        self._connections, self._share = connections, AT_RISK // connections
        self._throttle = Throttle(max_bytes_per_second, self._stop)
        self._to_hash: queue.SimpleQueue[Part | None] = queue.SimpleQueue()
        self._entries: list[Entry] = []
        self._ledger = threading.Lock()
        self._own = threading.local()

    def run(self, parts: Sequence[Part]) -> list[Entry]:
        """Raises the first failure, with all finished ranges kept for the next run."""
        largest = self._source.largest_range
        self._schedule = Schedule(parts, self._connections, self._started, largest, HASHERS)
        threads = [self._thread(self._fetch) for _ in range(self._connections)]
        hashers = [self._thread(self._hash) for _ in range(HASHERS)]
        try:
            while not self._schedule.wait(0.5):
                if self._patience.stop.is_set():
                    self._schedule.fail(Interrupted())
        finally:
            self._stop.set()
            if self._schedule.failure:
                self._patience.stop.set()  # wakes the threads that wait to try again
            for _ in hashers:
                self._to_hash.put(None)
            self._join(threads, hashers)
            for part in parts:
                part.close()
        if self._schedule.failure:
            raise self._schedule.failure
        return self._entries

    def _thread(self, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except WeightsError as error:
                self._schedule.fail(error)
            except Exception as error:  # a thread that dies silently would hang the Job
                self._schedule.fail(DownloadError("Failed", f"{type(error).__name__}: {error}"))

        # A daemon: a connection that hangs must not keep a stopped process alive.
        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        return thread

    def _join(
        self, fetchers: Sequence[threading.Thread], hashers: Sequence[threading.Thread]
    ) -> None:
        deadline = time.monotonic() + _GRACE
        while not self._schedule.quiet and time.monotonic() < deadline:
            time.sleep(0.01)
        for thread in hashers:
            thread.join(max(0.0, deadline - time.monotonic()))
        # A straggler may hang in its connection for long; it writes nothing any more.
        deadline = min(deadline, time.monotonic() + _STUCK)
        for thread in fetchers:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _started(self, part: Part) -> None:
        self._meter.add(part.done.total, resumed=True)
        self._to_hash.put(part)

    # -- fetching -------------------------------------------------------------------------------

    def _fetch(self) -> None:
        while task := self._schedule.next():
            try:
                self._persist(task)
            except RangeIgnoredError:
                if not task.late:
                    self._schedule.fetch_whole(task.part)
            finally:
                self._schedule.returned(task)

    def _persist(self, task: Task) -> None:
        attempts, farthest = Attempts(self._patience), task.position
        for _ in range(_TRIES):
            try:
                self._stream(task)
                return
            except WeightsError as error:
                if task.superseded or task.late:
                    return  # another connection has these bytes
                attempts.failed(error, progressed=task.position > farthest)
            self._meter.retried()
            farthest = max(farthest, task.position)
            if task.whole:
                task.position = task.noted = 0
        raise cut(task.part.file.path)

    def _stream(self, task: Task) -> None:
        body = self._source.open(task.part.file, task.position, task.end)
        try:
            self._pump(task, body)
        finally:
            body.close()
            self._meter.add(task.note())

    def _pump(self, task: Task, body: Stream) -> None:
        at, buffer = time.monotonic(), self._buffer()
        while task.position < task.end:
            self._check_stop()
            count = body.readinto(buffer[: task.end - task.position])
            if not count:
                raise cut(task.part.file.path)
            if not task.write(buffer[:count]):
                return
            self._throttle.spend(count)
            now = time.monotonic()
            if task.position - task.noted >= self._share or now - at >= JOURNAL_SECONDS:
                self._meter.add(task.note())
                at = now

    def _buffer(self) -> memoryview:
        """One for each thread, used again and again."""
        if not hasattr(self._own, "buffer"):
            self._own.buffer = memoryview(bytearray(min(BUFFER, self._share)))
        found: memoryview = self._own.buffer
        return found

    def _check_stop(self) -> None:
        if self._stop.is_set() or self._patience.stop.is_set():
            raise Interrupted

    # -- hashing --------------------------------------------------------------------------------

    def _hash(self) -> None:
        while part := self._to_hash.get():
            self._judge(part, follow(part, self._stop))

    def _judge(self, part: Part, found: Digests) -> None:
        if is_published(part, found):
            self._publish(part, found.sha256)
        elif part.rejected:
            part.discard()
            raise _mismatch(part, found)
        else:
            part.rejected += 1
            self._meter.add(-part.done.total)
            part.reset()
            self._to_hash.put(part)
            self._schedule.again(part)

    def _publish(self, part: Part, sha256: str) -> None:
        part.make_durable()
        with self._ledger:
            self._state.vouch(part.file, sha256)
            self._entries.append(Entry(part.file.path, part.file.size, sha256))
        part.publish()
        self._schedule.finished()


def _mismatch(part: Part, found: Digests) -> VerifyError:
    file = part.file
    return VerifyError(
        "ChecksumMismatch",
        f"{file.path}: {file.algorithm} is {found.published[:16]}..., the publisher's is "
        f"{file.digest[:16]}...; fetched twice, nothing of it was kept",
        fix="Something between here and the hub changes bytes; try without proxy or mirror",
    )
