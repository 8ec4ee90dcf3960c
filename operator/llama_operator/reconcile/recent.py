"""What was read lately, bounded: the oldest goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
G = TypeVar("G")


def keep(where: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    """Put it in; of more than `most` the oldest goes."""
    where[key] = value
    while len(where) > most:
        where.popitem(last=False)


class Remembered(Generic[G, V]):
    """What follows from something of an object, by its UID: worked out anew when that has changed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, tuple[G, V]] = OrderedDict()

    def of(self, uid: str, given: G, make: Callable[[], V]) -> V:
        """The value for what is `given`; raises what `make` raises."""
        kept = self._kept.get(uid)
        if kept is not None and kept[0] == given:
            return kept[1]
        value = make()
        self._kept.pop(uid, None)
        keep(self._kept, uid, (given, value), self._most)
        return value
