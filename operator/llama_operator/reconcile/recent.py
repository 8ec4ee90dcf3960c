"""What was read lately, bounded: the oldest goes first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def keep(where: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    """Put it in; of more than `most` the oldest goes."""
    where[key] = value
    while len(where) > most:
        where.popitem(last=False)
