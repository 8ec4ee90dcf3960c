"""The room where requests wait: so many, and so many bytes of them, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class FullError(Exception):
    """There is no place for this request; one may be free later."""


class Room:
    """Counts; a place is free again however its request ends."""

    def __init__(self, places: int, most_bytes: int) -> None:
        self.places, self.most_bytes = places, most_bytes
        self.held, self.bytes = 0, 0

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place; raises FullError."""
        if self.held >= self.places:
            raise FullError
        self.held += 1
        taken = Place(self)
        try:
            yield taken
        finally:
            self.held -= 1
            self.bytes -= taken.bytes


class Place:
    """What one request takes."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.bytes = 0

    def grow(self, count: int) -> None:
        """So many bytes more; raises FullError."""
        if self._room.bytes + count > self._room.most_bytes:
            raise FullError
        self.bytes += count
        self._room.bytes += count
