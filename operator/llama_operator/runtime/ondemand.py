"""A cache of what few ever need: it watches nothing until it is asked for the first time."""

from __future__ import annotations

import asyncio
from typing import Any

from .informer import Informer


class OnDemand(Informer):
    """An informer that nobody waits for but those who ask; until then it is empty and costs nothing."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._asked = asyncio.Event()

    @property
    def synced(self) -> bool:
        """Always: no start and no readiness may hang on it."""
        return True

    async def wait_synced(self) -> None:
        """Return at once."""

    @property
    def complete(self) -> bool:
        """Whether what it was asked for is there."""
        return self._synced.is_set()

    async def ask(self) -> None:
        """Begin to watch, and return once the cache is complete."""
        self._asked.set()
        await self._synced.wait()

    async def run(self) -> None:
        """Keep the cache up to date from when it was asked for."""
        await self._asked.wait()
        await super().run()
