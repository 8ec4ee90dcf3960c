"""Where the entries of a zip file lie, without a byte of them being trusted.

torch writes its checkpoints as zip files whose entries are stored as they are, so a tensor is a
range of the file. Only the directory is read; every offset in it is checked against the file,
because a truncated download keeps its beginning and loses just this directory.
Format: APPNOTE.TXT of PKWARE, sections 4.3.7 to 4.3.16 (zip64: 4.5.3).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llama_weights.convert.refusal import corrupt, shown

_END, _END64, _LOCATOR, _CENTRAL, _LOCAL = (
    b"PK\5\6",
    b"PK\6\6",
    b"PK\6\7",
    b"PK\1\2",
    b"PK\3\4",
)
_END_SIZE, _LOCATOR_SIZE, _END64_SIZE, _CENTRAL_SIZE, _LOCAL_SIZE = 22, 20, 56, 46, 30
_COMMENT = 0xFFFF
_UNKNOWN32 = 0xFFFFFFFF
# A directory entry takes about 100 bytes and a Llama of 405B has 1,100 tensors.
_DIRECTORY_LIMIT, _ENTRY_LIMIT = 64 << 20, 200_000


@dataclass(frozen=True)
class Entry:
    """A stored entry: where its bytes begin in the file, how many they are, their CRC-32."""

    offset: int
    size: int
    crc: int


class Archive:
    """The entries of one zip file, by name. Raises FormatError (CorruptCheckpoint)."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor
        self._size = os.fstat(descriptor).st_size
        self._directory = self._read_directory()
        self._headers = dict(self._parse())

    @property
    def directory(self) -> bytes:
        """The directory's own bytes; with the CRCs in it, a fingerprint of the contents."""
        return self._directory

    @property
    def names(self) -> list[str]:
        """All names, in the order of the directory."""
        return list(self._headers)

    def find(self, name: str) -> Entry:
        """Where an entry lies; its local header is read to know where its bytes begin."""
        if name not in self._headers:
            raise corrupt(self.path, f"the zip has no entry {shown(name)}")
        header, size, crc = self._headers[name]
        local = self._at(header, _LOCAL_SIZE)
        if local[:4] != _LOCAL:
            raise corrupt(self.path, f"no entry begins at byte {header}, where {shown(name)} is")
        name_size, extra_size = struct.unpack_from("<HH", local, 26)
        offset = header + _LOCAL_SIZE + name_size + extra_size
        if offset + size > self._size:
            raise corrupt(
                self.path,
                f"entry {shown(name)} ends at byte {offset + size} of a file of {self._size} bytes",
            )
        return Entry(offset, size, crc)

    def read(self, name: str, limit: int) -> bytes:
        """An entry's bytes. Raises FormatError when there are more than `limit`."""
        entry = self.find(name)
        if entry.size > limit:
            raise corrupt(self.path, f"entry {shown(name)} has {entry.size} bytes, over {limit}")
        return self._at(entry.offset, entry.size)

    def _at(self, offset: int, size: int) -> bytes:
        if offset < 0 or offset + size > self._size:
            end = offset + size
            raise corrupt(self.path, f"is cut off: {self._size} bytes, {end} are spoken of")
        data = os.pread(self._descriptor, size, offset)
        if len(data) != size:
            raise corrupt(self.path, f"ends while it is read, at byte {offset + len(data)}")
        return data

    def _read_directory(self) -> bytes:
        begin = self._at(0, min(self._size, 4))
        if begin != _LOCAL:
            what = "a web page" if begin[:1] == b"<" else f"bytes {begin.hex() or '(none)'}"
            raise corrupt(self.path, f"does not begin like a zip (504b0304) but with {what}")
        size, offset = self._end()
        if size > _DIRECTORY_LIMIT:
            raise corrupt(self.path, f"has a zip directory of {size} bytes")
        return self._at(offset, size)

    def _end(self) -> tuple[int, int]:
        """Size and offset of the directory."""
        start = max(0, self._size - _END_SIZE - _COMMENT)
        tail = self._at(start, self._size - start)
        place = tail.rfind(_END)
        if place < 0 or place + _END_SIZE > len(tail):
            raise corrupt(self.path, f"has no zip directory at its end ({self._size} bytes)")
        size, offset = struct.unpack_from("<II", tail, place + 12)
        count = struct.unpack_from("<H", tail, place + 10)[0]
        if _UNKNOWN32 in (size, offset) or count == 0xFFFF:
            return self._end64(start + place - _LOCATOR_SIZE)
        return size, offset

    def _end64(self, locator: int) -> tuple[int, int]:
        found = self._at(locator, _LOCATOR_SIZE)
        if found[:4] != _LOCATOR:
            raise corrupt(self.path, "has no zip64 locator, though it needs one")
        record = self._at(struct.unpack_from("<Q", found, 8)[0], _END64_SIZE)
        if record[:4] != _END64:
            raise corrupt(self.path, "its zip64 locator points to something else")
        size, offset = struct.unpack_from("<QQ", record, 40)
        return size, offset

    def _parse(self) -> Iterator[tuple[str, tuple[int, int, int]]]:
        data, place, seen = self._directory, 0, set[str]()
        while place < len(data):
            name, header, after = self._entry(data, place)
            if name in seen or len(seen) == _ENTRY_LIMIT:
                raise corrupt(self.path, f"lists {shown(name)} twice, or too many entries")
            seen.add(name)
            yield name, header
            place = after

    def _entry(self, data: bytes, place: int) -> tuple[str, tuple[int, int, int], int]:
        if data[place : place + 4] != _CENTRAL or place + _CENTRAL_SIZE > len(data):
            raise corrupt(self.path, f"byte {place} of its zip directory is not an entry")
        flags, method = struct.unpack_from("<HH", data, place + 8)
        crc, packed, size, names, extras, comment = struct.unpack_from("<IIIHHH", data, place + 16)
        header = struct.unpack_from("<I", data, place + 42)[0]
        extra = place + _CENTRAL_SIZE + names
        end = extra + extras + comment
        name = data[place + _CENTRAL_SIZE : extra].decode(errors="replace")
        if end > len(data):
            raise corrupt(self.path, f"the directory entry of {shown(name)} is cut off")
        if method or flags & 1:
            raise corrupt(self.path, f"entry {shown(name)} is compressed or encrypted")
        wide = self._wide(data[extra : extra + extras], [size, packed, header])
        if wide[0] != wide[1]:
            raise corrupt(self.path, f"entry {shown(name)} has two sizes, {wide[0]} and {wide[1]}")
        return name, (wide[2], wide[0], crc), end

    def _wide(self, extra: bytes, values: list[int]) -> list[int]:
        """Sizes and offset with those of 64 bits from the extra field in place."""
        wanted = [index for index, value in enumerate(values) if value == _UNKNOWN32]
        if not wanted:
            return values
        field = _zip64_field(extra)
        if len(field) < 8 * len(wanted):
            raise corrupt(self.path, "a zip64 entry lacks its sizes")
        for position, index in enumerate(wanted):
            values[index] = struct.unpack_from("<Q", field, 8 * position)[0]
        return values


def _zip64_field(extra: bytes) -> bytes:
    place = 0
    while place + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, place)
        if kind == 1:
            return extra[place + 4 : place + 4 + size]
        place += 4 + size
    return b""
