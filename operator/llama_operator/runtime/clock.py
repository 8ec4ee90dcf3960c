"""Time as a dependency: every wait, deadline and timestamp of the runtime goes through a Clock.

A runtime that reads the system clock itself can only be tested by sleeping, and one that measures
leases on the wall clock splits its brain when NTP steps. The system clock counts the time a
machine was suspended (CLOCK_BOOTTIME), because a leader that slept past its lease must notice it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Timer(Protocol):
    """A call that was planned for later."""

    def cancel(self) -> None:
        """Make sure that the call never happens; safe to repeat."""


class Clock(Protocol):
    """What the runtime may know about time."""

    def monotonic(self) -> float:
        """Seconds that never jump back; only differences mean something."""

    def now(self) -> datetime:
        """Wall clock in UTC, for timestamps that people read."""

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        """Run `call` on the event loop after `delay` seconds."""

    async def sleep(self, delay: float) -> None:
        """Return after `delay` seconds."""


class SystemClock:
    """The clock of this machine and the running event loop."""

    def __init__(self) -> None:
        self._source = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def monotonic(self) -> float:
        """Seconds since boot, suspension included."""
        return time.clock_gettime(self._source)

    def now(self) -> datetime:
        """UTC now."""
        return datetime.now(UTC)

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        """Plan on the running loop."""
        return asyncio.get_running_loop().call_later(max(0.0, delay), call)

    async def sleep(self, delay: float) -> None:
        """Sleep on the running loop."""
        await asyncio.sleep(max(0.0, delay))


class _FakeTimer:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class FakeClock:
    """A clock that moves only when told to, for tests of this runtime and of its users."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._stepped = 0.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _FakeTimer]] = []

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._elapsed

    def now(self) -> datetime:
        """Start plus what was advanced and stepped."""
        return self._start + timedelta(seconds=self._elapsed + self._stepped)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP or an administrator does."""
        self._stepped += seconds

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        """Plan for a later `advance`."""
        timer = _FakeTimer(call)
        due = self._elapsed + max(0.0, delay)
        heapq.heappush(self._timers, (due, next(self._order), timer))
        return timer

    async def sleep(self, delay: float) -> None:
        """Wait until `advance` has covered `delay`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_later(delay, lambda: None if done.done() else done.set_result(None))
        try:
            await done
        finally:
            timer.cancel()

    def advance(self, seconds: float) -> None:
        """Move time on, running what falls due in order; tasks woken run at the next await."""
        target = self._elapsed + seconds
        while self._timers and self._timers[0][0] <= target:
            due, _, timer = heapq.heappop(self._timers)
            self._elapsed = max(self._elapsed, due)
            if timer.call is not None:
                timer.call()
        self._elapsed = target

    async def run_for(self, seconds: float, step: float = 0.1) -> None:
        """Advance in steps, letting tasks run in between."""
        await settle()
        for _ in range(max(1, round(seconds / step))):
            self.advance(step)
            await settle()


async def settle(rounds: int = 20) -> None:
    """Let ready tasks run until they wait again (bounded by `rounds` of the loop)."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Result of `work`, or TimeoutError (and `work` cancelled) after `seconds` of `clock`."""
    task = asyncio.ensure_future(work)
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = task.cancel()

    timer = clock.call_later(seconds, expire)
    try:
        return await task
    except asyncio.CancelledError:
        if expired and not _cancelling():
            raise TimeoutError(f"nothing within {seconds:.1f} s") from None
        task.cancel()
        raise
    finally:
        timer.cancel()


def _cancelling() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0
