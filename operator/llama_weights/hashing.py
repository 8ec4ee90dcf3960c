"""Hashes that follow the download: bytes are read from the page cache soon after they came.

A hash needs its bytes in order while ranges come in any; following the front of the file costs no
second pass over the disk and leaves only the last ranges to hash when the download ends.
"""

from __future__ import annotations

import hashlib
import threading
import zipfile
import zlib
from pathlib import Path
from typing import Any

from llama_weights.errors import Interrupted
from llama_weights.files import RemoteFile
from llama_weights.part import Part

BUFFER = 1 << 20


class Digests:
    """sha256 of a file, and beside it whatever else the publisher gives."""

    def __init__(self, algorithm: str, size: int) -> None:
        self._sha256 = hashlib.sha256()
        self._other: Any = None
        if algorithm == "git-sha1":
            self._other = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        elif algorithm == "md5":
            self._other = hashlib.md5(usedforsecurity=False)

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes of the file."""
        self._sha256.update(data)
        if self._other is not None:
            self._other.update(data)

    @property
    def sha256(self) -> str:
        """For the manifest."""
        return self._sha256.hexdigest()

    @property
    def published(self) -> str:
        """To compare with what the publisher gives."""
        return self.sha256 if self._other is None else str(self._other.hexdigest())


def digests_of(file: RemoteFile, data: bytes) -> Digests:
    """Of bytes in memory."""
    found = Digests(file.algorithm, len(data))
    found.update(data)
    return found


def follow(part: Part, stop: threading.Event) -> Digests:
    """Hash a part as it grows, until its end. Raises Interrupted when asked to stop."""
    found = Digests(part.file.algorithm, part.file.size)
    position, buffer = 0, memoryview(bytearray(BUFFER))
    while position < part.file.size:
        front = _wait(part, position, stop)
        while position < front and not stop.is_set():
            count = part.read(buffer[: min(BUFFER, front - position)], position)
            found.update(buffer[:count])
            position += count
        part.hashed(position)
    return found


def is_published(part: Part, found: Digests) -> bool:
    """Whether a complete part holds what its publisher says of it."""
    if part.file.algorithm == "zip-crc32":
        return zip_is_intact(part.path)
    return found.published == part.file.digest


def zip_is_intact(path: Path) -> bool:
    """Whether every entry of a zip has the CRC that the zip's own list says."""
    try:
        with zipfile.ZipFile(path) as opened:
            return opened.testzip() is None
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError):
        return False


def _wait(part: Part, position: int, stop: threading.Event) -> int:
    with part.grown:
        while not stop.is_set():
            front = part.done.prefix()
            if front > position:
                return front
            part.grown.wait(0.5)
    raise Interrupted


def sha256_of(path: Path, stop: threading.Event) -> str:
    """sha256 of a file on the disk. Raises Interrupted when asked to stop."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as opened:
        while data := opened.read(BUFFER):
            digest.update(data)
            if stop.is_set():
                raise Interrupted
    return digest.hexdigest()
