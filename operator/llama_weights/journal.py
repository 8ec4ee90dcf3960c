"""Which bytes of a `.part` file are there, kept so that a killed process goes on from them.

One text file per part: a first line that names the content and the machine's boot, then one line
per finished range, and `sync N` once the data of the first N ranges has been forced to the disk.
After a crash of the process every line counts, because the kernel still has the pages; after a
crash of the machine (another boot id, or another node) only the synced ones do. Whatever a
journal claims, a file is published only after its hash: a wrong journal costs time, never bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from llama_weights.files import RemoteFile
from llama_weights.ranges import Ranges
from llama_weights.volume import open_new, write_at, write_durably

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Names this boot of this machine; "" where the kernel does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class Journal:
    """The ranges of one part. Not thread-safe: its owner holds a lock."""

    def __init__(self, path: Path, file: RemoteFile) -> None:
        self._path, self._file = path, file
        self._descriptor = -1
        self._end = 0
        self.count = 0

    def open(self) -> Ranges:
        """Start or go on; the ranges that can be trusted."""
        found = self.read()
        spans = [f"{start} {end}" for start, end in found]
        lines = [self._header(), *spans, f"sync {len(spans)}\n"]
        self.count = len(spans)
        # Rewritten whole: torn or doubtful lines do not survive, and it stays short.
        data = "\n".join(lines).encode()
        write_durably(self._path, data)
        self._descriptor, self._end = open_new(self._path), len(data)
        return found

    def read(self) -> Ranges:
        """The ranges that can be trusted, as they lie on the disk; changes nothing."""
        lines = self._lines()
        if not lines:
            return Ranges()
        try:
            header = json.loads(lines[0])
            same = (header["digest"], header["size"]) == (self._file.digest, self._file.size)
            alive = bool(boot_id()) and header["boot"] == boot_id()
        except (ValueError, KeyError, TypeError):
            return Ranges()
        return _replay(lines[1:], self._file.size, trust_all=alive) if same else Ranges()

    def add(self, start: int, end: int) -> None:
        """Bytes [start, end) have been written."""
        self._append(f"{start} {end}\n")
        self.count += 1

    def synced(self, count: int) -> None:
        """The first `count` ranges are on the disk."""
        self._append(f"sync {count}\n")

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """The part is complete or worthless: forget it."""
        self.close()
        self._path.unlink(missing_ok=True)

    def _append(self, line: str) -> None:
        data = line.encode()
        write_at(self._descriptor, data, self._end, self._path)
        self._end += len(data)

    def _header(self) -> str:
        file = self._file
        return json.dumps({"digest": file.digest, "size": file.size, "boot": boot_id()})

    def _lines(self) -> list[str]:
        with contextlib.suppress(OSError):
            # Text after the last line break was being written when the process died.
            return self._path.read_text(errors="replace").split("\n")[:-1]
        return []


def _replay(lines: list[str], size: int, *, trust_all: bool) -> Ranges:
    spans: list[tuple[int, int]] = []
    synced = 0
    for line in lines:
        first, _, second = line.partition(" ")
        if first == "sync" and second.isdecimal():
            synced = int(second)
        elif _sound(first, second, size):
            spans.append((int(first), int(second)))
        else:
            break
    found = Ranges()
    for start, end in spans if trust_all else spans[:synced]:
        found.add(start, end)
    return found


def _sound(start: str, end: str, size: int) -> bool:
    numbers = start.isdecimal() and end.isdecimal()
    return numbers and int(start) < int(end) <= size
