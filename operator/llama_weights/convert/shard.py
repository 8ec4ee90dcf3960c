"""One `consolidated.NN.pth`: which tensors it has and where in the file their numbers lie.

Tensors are read with `preadv` and not through a memory map: a map turns a file that shrinks, or
a disk that fails, into a signal that ends the process without a word.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from llama_weights import volume
from llama_weights.convert import pickled
from llama_weights.convert.archive import Archive
from llama_weights.convert.pickled import Pickled
from llama_weights.convert.refusal import corrupt, shown, unsupported

_PICKLE_LIMIT = 64 << 20
# More buffers than this are refused by the kernel in one call (IOV_MAX).
BUFFERS = 1024


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: dtype as safetensors names it, offset in bytes, rows one after another."""

    shard: Shard
    name: str
    dtype: str
    width: int
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * self.width


class Shard:
    """An open file and its tensors. Raises FormatError for what cannot be read or trusted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with volume.guarded(path):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with volume.guarded(path):
                archive = Archive(path, self._descriptor)
                self.identity = archive.directory
                self.tensors = self._tensors(archive)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)

    def read(self, buffers: Sequence[memoryview], offset: int) -> None:
        """Fill `buffers` one after another from the file's bytes at `offset`."""
        for start in range(0, len(buffers), BUFFERS):
            offset = self._fill(list(buffers[start : start + BUFFERS]), offset)

    def forget(self, offset: int, size: int) -> None:
        """Tell the kernel that these bytes will not be read again."""
        os.posix_fadvise(self._descriptor, offset, size, os.POSIX_FADV_DONTNEED)

    def _fill(self, buffers: list[memoryview], offset: int) -> int:
        while buffers:
            with volume.guarded(self.path):
                count = os.preadv(self._descriptor, buffers, offset)
            if not count:
                raise corrupt(self.path, f"ends at byte {offset} while it is being read")
            offset += count
            buffers = _rest(buffers, count)
        return offset

    def _tensors(self, archive: Archive) -> dict[str, Stored]:
        pickles = [name for name in archive.names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise corrupt(self.path, f"has {len(pickles)} entries data.pkl, 1 makes a checkpoint")
        root = pickles[0].removesuffix("data.pkl")
        if (
            f"{root}byteorder" in archive.names
            and archive.read(f"{root}byteorder", 16) != b"little"
        ):
            raise unsupported(self.path, "holds big-endian numbers", "Save it again on x86 or ARM")
        found = pickled.read(self.path, archive.read(pickles[0], _PICKLE_LIMIT))
        return {name: self._stored(archive, root, name, each) for name, each in found.items()}

    def _stored(self, archive: Archive, root: str, name: str, found: object) -> Stored:
        if not isinstance(found, Pickled):
            what = type(found).__name__
            raise corrupt(self.path, f"{shown(name)} is a {what}, not a tensor")
        storage, numbers = found.storage, prod(found.shape)
        entry = archive.find(f"{root}data/{storage.key}")
        if storage.count * storage.width != entry.size or found.offset + numbers > storage.count:
            raise corrupt(
                self.path,
                f"{shown(name)} {list(found.shape)} at {found.offset} does not fit its storage of "
                f"{storage.count} numbers in {entry.size} bytes",
            )
        if not _contiguous(found):
            fix = "Save the checkpoint again with tensor.contiguous()"
            raise unsupported(self.path, f"{shown(name)} has strides {list(found.stride)}", fix)
        offset = entry.offset + found.offset * storage.width
        return Stored(self, name, storage.dtype, storage.width, found.shape, offset)


def _contiguous(found: Pickled) -> bool:
    expected = 1
    for length, stride in zip(reversed(found.shape), reversed(found.stride), strict=True):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


def _rest(buffers: list[memoryview], count: int) -> list[memoryview]:
    for index, buffer in enumerate(buffers):
        if count < len(buffer):
            return [buffer[count:], *buffers[index + 1 :]]
        count -= len(buffer)
    return []
