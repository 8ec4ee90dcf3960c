"""A circuit breaker over the connection to the API server.

Without it, every worker burns its retries against a dead server, and the log gets a traceback for
each (a prototype wrote 187,000 lines in one outage). It counts exchanges without an answer; after
some in a row it opens, workers pause, and one of them is let through at jittered intervals.
Any answer, from a worker or from a watch that reconnects, closes it. An error that the server
itself sends is an answer: that is what per-key backoff is for.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from .clock import Clock, SystemClock
from .ratelimit import Backoff

log = logging.getLogger(__name__)


class Breaker:
    """Open after `threshold` consecutive failures; probes back off 0.8..5 s (one request each)."""

    def __init__(
        self,
        threshold: int = 5,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._threshold = threshold
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff(cap=5.0)
        self._rand: Callable[[], float] = random.random
        self._failures = 0
        self._opened_at = 0.0
        self._next_probe = 0.0
        self._closed = asyncio.Event()
        self._closed.set()

    @property
    def open(self) -> bool:
        """Whether the connection counts as down."""
        return not self._closed.is_set()

    def success(self) -> None:
        """The server answered."""
        self._failures = 0
        if self.open:
            down = self._clock.monotonic() - self._opened_at
            log.info("API server answers again after %.1f s", down)
            self._backoff.reset()
            self._closed.set()

    def failure(self, cause: object = "") -> None:
        """No usable answer came."""
        self._failures += 1
        if not self.open and self._failures >= self._threshold:
            self._opened_at = self._clock.monotonic()
            self._next_probe = self._opened_at + self._backoff.next()
            self._closed.clear()
            log.warning("API server does not answer; work is paused: %s", cause)

    async def admit(self) -> None:
        """Return at once while closed; while open, when closed or as the next probe."""
        while self.open:
            wait = self._next_probe - self._clock.monotonic()
            if wait <= 0:
                self._next_probe = self._clock.monotonic() + self._backoff.next()
                return
            await self._wait_closed(wait)

    async def pause(self, seconds: float) -> None:
        """Sleep, but end early, with jitter, when the server comes back meanwhile."""
        if not self.open:
            await self._clock.sleep(seconds)
            return
        end = self._clock.monotonic() + seconds
        await self._wait_closed(seconds)
        left = max(0.0, end - self._clock.monotonic())
        await self._clock.sleep(min(left, self._rand()))

    async def _wait_closed(self, seconds: float) -> None:
        tasks = [
            asyncio.ensure_future(self._closed.wait()),
            asyncio.ensure_future(self._clock.sleep(seconds)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
