"""One file on its way to the disk: `.part`, journal, hash, and only then its name.

The order is the guarantee: write, note in the journal, force to the disk, compare the hash, note
in the ledger, rename, force the directory. Killed between any two of these, the next run finds
enough to go on and nothing that it would have to believe.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path

from llama_weights import volume
from llama_weights.errors import Interrupted
from llama_weights.files import RemoteFile
from llama_weights.journal import Journal
from llama_weights.ranges import Ranges

# What a crash of the machine may cost per file; a crash of the process costs less.
SYNC_BYTES = 32 << 20
DROP_BYTES = 8 << 20


class _Descriptor:
    """Closes itself with its last user: a late writer never meets a number that was reused."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class Part:
    """The bytes of one file as far as they have come. Thread-safe.

    `pending`, `in_flight`, `spares`, `whole` and `rejected` belong to the schedule, which guards them.
    """

    def __init__(self, file: RemoteFile, directory: Path, state: Path) -> None:
        self.file = file
        self.final = directory / file.path
        # The listing's names may be as long as the file system allows, so they are shortened.
        stem = hashlib.sha256(file.path.encode()).hexdigest()[:16]
        self.path = state / f"{stem}.part"
        self._journal = Journal(state / f"{stem}.journal", file)
        self._lock = threading.Lock()
        self._descriptor: _Descriptor | None = None
        self._unsynced = 0
        # Bytes [dropped, hashed) are not needed in memory once they are on the disk.
        self._hashed = self._dropped = 0
        self.done = Ranges()
        self.grown = threading.Condition(self._lock)
        self.pending: list[tuple[int, int]] = []
        self.in_flight = 0
        self.spares = 0
        self.whole = False
        self.rejected = 0

    def open(self) -> None:
        """Reserve the space and read the journal of an earlier run."""
        if not self.path.is_file():
            self._journal.remove()
        opened = _Descriptor(volume.open_new(self.path))
        volume.preallocate(opened.number, self.file.size, self.path)
        with volume.guarded(self.path):
            os.ftruncate(opened.number, self.file.size)
        self.done = self._journal.open()
        self._descriptor = opened

    def adopt(self, found: Path) -> None:
        """Take a file that lies under its final name without proof; its hash will tell."""
        with volume.guarded(found):
            found.replace(self.path)
        self._journal.remove()
        self._journal.open()
        if self.file.size:
            self._journal.add(0, self.file.size)
        self._journal.close()

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Put bytes at their place; `record` makes them count.

        What counts already is left as it is: it may have been hashed.
        """
        with self._lock:
            opened = self._descriptor
            wanted = self.done.gaps(offset + len(data), offset)
        if opened is None:
            return
        for start, end in wanted:
            volume.write_at(opened.number, data[start - offset : end - offset], start, self.path)

    def record(self, start: int, end: int) -> int:
        """Note bytes [start, end) as written; returns how many of them are new."""
        if start == end:
            return 0
        with self.grown:
            if self._descriptor is None:
                return 0
            new = self.done.add(start, end)
            self._journal.add(start, end)
            self._unsynced += end - start
            due = self._unsynced >= SYNC_BYTES
            if due:
                self._unsynced = 0
            self.grown.notify_all()
        if due:
            self.sync()
        return new

    def sync(self) -> None:
        """Force what has been recorded to the disk, and note that."""
        with self._lock:
            opened, count = self._descriptor, self._journal.count
        if opened is None:
            return
        with volume.guarded(self.path):
            os.fdatasync(opened.number)
        with self._lock:
            if self._descriptor is opened:
                self._journal.synced(count)
        self._drop(opened)

    def hashed(self, position: int) -> None:
        """Everything before `position` has been hashed and will not be read again."""
        self._hashed = position

    def _drop(self, opened: _Descriptor) -> None:
        """Give pages back: a pod's memory limit counts them, and reusing them is quicker."""
        start, end = self._dropped, self._hashed
        if end - start >= DROP_BYTES:
            os.posix_fadvise(opened.number, start, end - start, os.POSIX_FADV_DONTNEED)
            self._dropped = end

    def read(self, buffer: memoryview, offset: int) -> int:
        """Bytes from the disk into a buffer, for the hash; how many there were."""
        opened = self._descriptor
        if opened is None:
            raise Interrupted
        with volume.guarded(self.path):
            return os.preadv(opened.number, [buffer], offset)

    def reset(self) -> None:
        """Forget everything but the space: the bytes are not the publisher's."""
        with self.grown:
            self.done = Ranges()
            self._unsynced = self._hashed = self._dropped = 0
            self._journal.remove()
            self._journal.open()

    def make_durable(self) -> None:
        """All bytes to the disk, before the ledger vouches for them."""
        opened = self._descriptor
        if opened is None:
            raise Interrupted
        with volume.guarded(self.path):
            os.fsync(opened.number)

    def publish(self) -> None:
        """Give the verified file its name."""
        with volume.guarded(self.final):
            self.path.replace(self.final)
        volume.sync_directory(self.final.parent)
        with self._lock:
            self._descriptor = None
            self._journal.remove()

    def discard(self) -> None:
        """Remove the part and all traces of it."""
        with self._lock:
            self._descriptor = None
            self._journal.remove()
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Keep everything for the next run, whatever state the disk is in."""
        with contextlib.suppress(Exception):
            self.sync()
        with self._lock:
            self._descriptor = None
            self._journal.close()
