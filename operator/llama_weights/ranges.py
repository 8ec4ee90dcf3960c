"""Sets of bytes as sorted, disjoint, half-open ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Ranges:
    """Which bytes of a file are there.

    Invariant: starts and ends ascend strictly and no two ranges touch, so the number of ranges
    is at most the number of gaps plus one, whatever the order in which they came.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._starts, self._ends, strict=True)))

    def copy(self) -> Ranges:
        """An independent copy."""
        new = Ranges()
        new._starts, new._ends = self._starts.copy(), self._ends.copy()
        return new

    @property
    def total(self) -> int:
        """Bytes in the set."""
        return sum(self._ends) - sum(self._starts)

    def add(self, start: int, end: int) -> int:
        """Add bytes [start, end); returns how many of them were new."""
        before = self.total
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last], self._ends[first:last] = [start], [end]
        return self.total - before

    def prefix(self) -> int:
        """How many bytes from the beginning are there without a gap."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def gaps(self, end: int, start: int = 0) -> list[tuple[int, int]]:
        """The ranges of [start, end) that are not there."""
        found = []
        first = bisect_right(self._ends, start)
        for there, after in zip(self._starts[first:], self._ends[first:], strict=True):
            if there >= end:
                break
            if there > start:
                found.append((start, there))
            start = after
        return [*found, (start, end)] if start < end else found
