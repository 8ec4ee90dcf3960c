"""How a tensor of the model is put together from runs of bytes in the shards.

Everything that a conversion does is moving rows: shards that hold some rows follow one another,
shards that hold some columns interleave row by row, and the two halves of a rotary head change
places row by row. So a tensor is a list of parts, each a table of equal rows, and where in the
output its rows go; no number is ever looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from llama_weights.convert.shard import Stored


@dataclass(frozen=True)
class Target:
    """A tensor to write: its name in Hugging Face's layout and the stored parts, rank by rank.

    `by_columns`: each part holds some columns of all rows; else some rows of all columns.
    `head_dim`: rows of a rotary head, whose pairs (0, 1), (2, 3) ... become two halves; else 0.
    """

    name: str
    parts: tuple[Stored, ...]
    by_columns: bool = False
    head_dim: int = 0

    @property
    def dtype(self) -> str:
        """As safetensors names it."""
        return self.parts[0].dtype

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor."""
        first, count = self.parts[0].shape, len(self.parts)
        if self.by_columns:
            return (first[0], first[1] * count)
        return (first[0] * count, *first[1:])

    @property
    def row_size(self) -> int:
        """Bytes of a row of the whole tensor."""
        return prod(self.shape[1:]) * self.parts[0].width

    @property
    def size(self) -> int:
        """Bytes of the whole tensor."""
        return self.shape[0] * self.row_size

    def blocks(self, limit: int) -> Iterator[tuple[int, int]]:
        """(first row, rows) of blocks of at most `limit` bytes, or of one row, or one head."""
        whole = self.head_dim or 1
        rows = max(1, limit // (self.row_size * whole)) * whole
        # A block never spans two ranks.
        span = self.shape[0] if self.by_columns else self.parts[0].shape[0]
        for begin in range(0, self.shape[0], span):
            for start in range(begin, begin + span, rows):
                yield start, min(rows, begin + span - start)

    def read(self, start: int, rows: int, buffer: memoryview) -> None:
        """Fill `buffer` with rows of the whole tensor; `start` and `rows` are of `blocks`."""
        if self.by_columns:
            self._read_columns(start, rows, buffer)
            return
        rank, row = divmod(start, self.parts[0].shape[0])
        part = self.parts[rank]
        offset = part.offset + row * self.row_size
        part.shard.read(self._places(rows, buffer), offset)
        part.shard.forget(offset, rows * self.row_size)

    def _read_columns(self, start: int, rows: int, buffer: memoryview) -> None:
        row_size, width = self.row_size, self.row_size // len(self.parts)
        for rank, part in enumerate(self.parts):
            offset, left = part.offset + start * width, rank * width
            places = [
                buffer[place : place + width]
                for place in range(left, left + rows * row_size, row_size)
            ]
            part.shard.read(places, offset)
            part.shard.forget(offset, rows * width)

    def _places(self, rows: int, buffer: memoryview) -> Sequence[memoryview]:
        if not self.head_dim:
            return [buffer[: rows * self.row_size]]
        half, size = self.head_dim // 2, self.row_size
        # view(heads, hd/2, 2, d).transpose(1, 2): row 2i + j of a head becomes row j * hd/2 + i.
        order = [j * half + i for i in range(half) for j in range(2)]
        return [
            buffer[(head + row) * size : (head + row + 1) * size]
            for head in range(0, rows, self.head_dim)
            for row in order
        ]


def same(parts: Sequence[Stored], limit: int = 1 << 22) -> bool:
    """Do all parts hold the same bytes?"""
    first, size = parts[0], parts[0].size
    if all(
        (each.shard, each.offset, each.size) == (first.shard, first.offset, size) for each in parts
    ):
        return True  # torch saves a storage that two names share once
    if any(each.size != size or each.dtype != first.dtype for each in parts):
        return False
    one, other = (memoryview(bytearray(min(limit, size))) for _ in range(2))
    for start in range(0, size, limit):
        count = min(limit, size - start)
        first.shard.read([one[:count]], first.offset + start)
        for each in parts[1:]:
            each.shard.read([other[:count]], each.offset + start)
            if one[:count] != other[:count]:
                return False
    return True
