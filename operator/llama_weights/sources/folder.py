"""An adapter in a directory of a volume, as a source to copy from.

Nobody publishes hashes of it: its files are hashed first, and what arrives is held against that.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

from llama_weights import adapter
from llama_weights.errors import VerifyError
from llama_weights.files import RemoteFile
from llama_weights.hashing import sha256_of
from llama_weights.volume import guarded

FIELD = "source.claim"


class Opened:
    """A part of a file; `start` is where it begins."""

    def __init__(self, path: Path, start: int, end: int) -> None:
        self.start, self._left = start, end - start
        self._file = path.open("rb")
        self._file.seek(start)

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer, or less at the end; 0 after it."""
        count = self._file.readinto(buffer[: self._left])
        self._left -= count
        return count

    def close(self) -> None:
        """No more is wanted."""
        self._file.close()


class Folder:
    """The adapter in a directory. Thread-safe."""

    format = adapter.FORMAT
    largest_range = 1 << 40

    def __init__(self, directory: Path, stop: threading.Event) -> None:
        self._directory, self._stop = directory, stop
        self.repo, self.commit = "claim", identity(directory)

    def wanted(self) -> list[RemoteFile]:
        """Its two files, with their hashes. Raises FormatError."""
        return [
            RemoteFile(each.path, each.size, "sha256", self._hash(each))
            for each in listed(self._directory)
        ]

    def noted(self, state: Path) -> None:
        """Nothing is kept: the directory can be listed again."""

    def open(self, file: RemoteFile, start: int, end: int) -> Opened:
        """Bytes [start, end)."""
        return Opened(self._directory / file.path, start, end)

    def _hash(self, file: RemoteFile) -> str:
        with guarded(self._directory):
            return sha256_of(self._directory / file.path, self._stop)


def listed(directory: Path) -> list[RemoteFile]:
    """The files of the adapter, not hashed. Raises VerifyError, FormatError."""
    if not directory.is_dir():
        raise VerifyError(
            "FilesMissing",
            f"the claim has no directory {directory.name!r}",
            field=f"{FIELD}.path",
            fix=f"Name the directory that holds {adapter.CONFIG}",
        )
    with guarded(directory):
        found = [each for each in directory.iterdir() if each.is_file()]
        chosen = adapter.select(
            [RemoteFile(each.name, each.stat().st_size, "sha256", "") for each in found]
        )
        for file in chosen:
            _check_place(directory, file.path)
        return chosen


def _check_place(directory: Path, name: str) -> None:
    """A link within the volume is followed, as a hub's cache has them; no other is."""
    if _mount_of((directory / name).resolve()) != _mount_of(directory.resolve()):
        raise VerifyError(
            "FilesMissing",
            f"{name} is a link that leaves the volume",
            field=f"{FIELD}.path",
            fix="Put the file itself there",
        )


def _mount_of(path: Path) -> Path:
    while not path.is_mount():
        path = path.parent
    return path


def identity(directory: Path) -> str:
    """40 hex digits of the config, of the sizes and of the tensors' header."""
    files = listed(directory)
    text = "\n".join(f"{each.path} {each.size}" for each in files).encode()
    config, header = documents(directory)
    return hashlib.sha256(text + config + header).hexdigest()[:40]


def documents(directory: Path) -> tuple[bytes, bytes]:
    """The config, and the header of the tensors. Raises FormatError."""
    with guarded(directory):
        tensors = directory / adapter.TENSORS
        config = (directory / adapter.CONFIG).read_bytes()
        with tensors.open("rb") as opened:
            length = adapter.header_length(opened.read(8), tensors.stat().st_size)
            return config, opened.read(length)


def look(directory: Path) -> dict[str, Any]:
    """What lies there. Raises WeightsError."""
    config, header = documents(directory) if listed(directory) else (b"", b"")
    return adapter.finding(identity(directory), listed(directory), config, header)
