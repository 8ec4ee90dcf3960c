"""Long work in short turns: what looks at each of ten thousand objects lets others run in between.

The lease is renewed and edits are followed on the same loop; what takes it for 100 ms is felt by
each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 200
"""Objects of one turn: a few milliseconds for what takes microseconds of each."""


async def slices(items: Iterable[T], size: int = AT_ONCE) -> AsyncIterator[list[T]]:
    """The items in lists of `size`, with a turn of the loop after each."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
        await asyncio.sleep(0)
