"""What this machine can do at best: loopback, disk and hash, each alone, the plainest way."""

from __future__ import annotations

import hashlib
import http.client
import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.bench.fast_hub import COMMIT, REPO

MIB = 1 << 20
_BUFFER = 4 * MIB


class Pace(NamedTuple):
    """Bytes per second, and the processor's seconds that a byte took."""

    rate: float
    cost: float


def pace(count: int, work: Callable[[], None], server: int = 0) -> Pace:
    """Of `work`, which moves `count` bytes; a `server`'s processor time counts too."""
    began, used = time.monotonic(), _used(server)
    work()
    return Pace(count / (time.monotonic() - began), (_used(server) - used) / count)


def _used(server: int) -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    total = own.ru_utime + own.ru_stime
    if server:
        fields = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def hashed_beside(*others: Pace, own: Pace) -> float:
    """Bytes per second of sha256 on the cores that moving those bytes leaves.

    At r bytes per second the others take r x their cost of all cores; what is left hashes
    (cores - r x cost) / own cost. Both are the same r where it is cores / (all costs).
    """
    return (os.cpu_count() or 1) / (own.cost + sum(each.cost for each in others))


def loopback(port: int, names: list[str], size: int, server: int, connections: int = 8) -> Pace:
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

    return pace(len(names) * size, work, server)


def disk(directory: Path, size: int) -> Pace:
    """Bytes of memory written to one file, and synced."""
    data = os.urandom(_BUFFER)
    path = directory / "written"

    def work() -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for _ in range(size // _BUFFER):
            os.write(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)

    found = pace(size, work)
    path.unlink()
    return found


def hashing(size: int = 1 << 30) -> Pace:
    """sha256 of one core."""
    data = os.urandom(_BUFFER)

    def work() -> None:
        digest = hashlib.sha256()
        for _ in range(size // _BUFFER):
            digest.update(data)

    return pace(size, work)


def copying(source: Path, target: Path) -> float:
    """`cp` and fsync of the files of a directory."""
    files = sorted(path for path in source.iterdir() if path.is_file())
    target.mkdir()

    def work() -> None:
        for path in files:
            _copy(path, target / path.name)

    found = pace(sum(path.stat().st_size for path in files), work).rate
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
