"""What this machine can do at best: loopback, disk and hash, each alone, the plainest way."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.fast_hub import COMMIT, REPO

MIB = 1 << 20
_BUFFER = 4 * MIB


def rate(count: int, work: Callable[[], None]) -> float:
    """Bytes per second of `work`, which moves `count` bytes."""
    began = time.monotonic()
    work()
    return count / (time.monotonic() - began)


def loopback(port: int, names: list[str], size: int, connections: int = 8) -> float:
    """Ranged reads of all files, thrown away."""

    def read(index: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        buffer = bytearray(MIB)
        for name in names:
            step = -(-size // connections)
            start, end = index * step, min(size, (index + 1) * step)
            span = {"Range": f"bytes={start}-{end - 1}"}
            connection.request("GET", f"/{REPO}/resolve/{COMMIT}/{name}", headers=span)
            answer = connection.getresponse()
            while answer.readinto(buffer):
                pass
        connection.close()

    def work() -> None:
        threads = [threading.Thread(target=read, args=(n,)) for n in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return rate(len(names) * size, work)


def disk(directory: Path, size: int) -> float:
    """Bytes of memory written to one file, and synced."""
    data = os.urandom(_BUFFER)
    path = directory / "written"

    def work() -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for _ in range(size // _BUFFER):
            os.write(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)

    found = rate(size, work)
    path.unlink()
    return found


def hashing(size: int = 1 << 30) -> float:
    """sha256 of one core, times the cores that moving the bytes leaves free (one is taken)."""
    data = os.urandom(_BUFFER)

    def work() -> None:
        digest = hashlib.sha256()
        for _ in range(size // _BUFFER):
            digest.update(data)

    return rate(size, work) * max(1, (os.cpu_count() or 2) - 1)


def copying(source: Path, target: Path) -> float:
    """`cp` and fsync of the files of a directory."""
    files = sorted(path for path in source.iterdir() if path.is_file())
    target.mkdir()

    def work() -> None:
        for path in files:
            _copy(path, target / path.name)

    found = rate(sum(path.stat().st_size for path in files), work)
    for path in target.iterdir():
        path.unlink()
    target.rmdir()
    return found


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        size, offset = source.stat().st_size, 0
        while offset < size:
            offset += os.copy_file_range(read.fileno(), written.fileno(), size - offset)
        os.fsync(written.fileno())


def forget_pages() -> None:
    """Make the next reads come from the disk, where we may."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return
