"""The queue between watches and workers: keys, each at most once, never handled twice at a time.

Invariants (after client-go's util/workqueue/queue.go):
- `dirty` holds every key that needs work; a key of the ready heap is dirty and not processing.
- a key added while it is processed stays dirty and becomes ready again at `done`.
- a key waits in the delay heap only if it is not dirty: being worked on sooner fulfils a delay,
  and of two delays the earlier counts.
Keys of real changes overtake those of the initial list, or a restart with ten thousand objects
would make a user wait for all of them; a key wanted at two priorities has the higher one.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from .clock import Clock, SystemClock, Timer
from .hooks import NO_HOOKS, QueueHooks
from .ratelimit import RateLimiter, default_limiter

K = TypeVar("K", bound=Hashable)

NORMAL = 0
LOW = -100
"""Priority of what is merely seen again: initial lists and periodic replays."""


class ShutDown(Exception):  # noqa: N818 - a state, not a failure
    """The queue takes no more work and has none left."""


class WorkQueue(Generic[K]):
    """Queue for the event loop it is used on; only `get` waits."""

    def __init__(
        self,
        name: str = "",
        *,
        limiter: RateLimiter[K] | None = None,
        clock: Clock | None = None,
        hooks: QueueHooks | None = None,
    ) -> None:
        self.name = name
        self._clock = clock or SystemClock()
        self._limiter: RateLimiter[K] = limiter or default_limiter(self._clock)
        self._hooks = hooks or NO_HOOKS
        self._order = itertools.count()
        self._dirty: dict[K, int] = {}
        self._processing: dict[K, tuple[int, float]] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._ready: dict[K, tuple[int, float]] = {}
        self._delays: list[tuple[float, int, K]] = []
        self._due: dict[K, tuple[float, int, int]] = {}
        self._timer: Timer | None = None
        self._timer_due = 0.0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._closing = False

    def __len__(self) -> int:
        """Keys ready to be taken."""
        return len(self._ready)

    # -- putting in -------------------------------------------------------------------------

    def add(self, key: K, priority: int | None = None) -> None:
        """This key needs work now; without a priority, that of its present run or NORMAL."""
        if self._closing:
            return
        priority = self._priority(key, priority)
        self._due.pop(key, None)
        known = self._dirty.get(key)
        if known is not None and known >= priority:
            return
        self._dirty[key] = priority
        if key not in self._processing:
            self._make_ready(key, priority, news=known is None)

    def add_after(self, key: K, delay: float, priority: int | None = None) -> None:
        """This key needs work in `delay` seconds at the latest."""
        if delay <= 0:
            self.add(key, priority)
            return
        if self._closing or key in self._dirty:
            return
        due = self._clock.monotonic() + delay
        priority = self._priority(key, priority)
        planned = self._due.get(key)
        if planned is not None:
            priority = max(priority, planned[1])
            if planned[0] <= due:
                self._due[key] = (planned[0], priority, planned[2])
                return
        order = next(self._order)
        self._due[key] = (due, priority, order)
        heapq.heappush(self._delays, (due, order, key))
        self._arm()

    def add_rate_limited(self, key: K, priority: int | None = None) -> None:
        """This key failed: again after its backoff."""
        self._hooks.retried(self.name)
        self.add_after(key, self._limiter.when(key), priority)

    def forget(self, key: K) -> None:
        """This key succeeded: its backoff starts over."""
        self._limiter.forget(key)

    def failures(self, key: K) -> int:
        """Failures since the last `forget`."""
        return self._limiter.failures(key)

    # -- taking out -------------------------------------------------------------------------

    async def get(self) -> K:
        """Next key, highest priority first, then oldest; every get needs a `done`.

        Raises ShutDown when there is no work left and none will come.
        """
        while not self._ready:
            if self._closing:
                raise ShutDown
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._leave(waiter)
                raise
        return self._take()

    def done(self, key: K) -> None:
        """The work on `key` has ended; if it became dirty meanwhile, it is ready again."""
        _, started = self._processing.pop(key)
        self._hooks.done(self.name, self._clock.monotonic() - started)
        if key in self._dirty:
            self._make_ready(key, self._dirty[key], news=True)

    def _take(self) -> K:
        while True:
            _, order, key = heapq.heappop(self._heap)
            entry = self._ready.get(key)
            if entry is not None and entry[0] == order:
                break
        del self._ready[key]
        now = self._clock.monotonic()
        self._processing[key] = (self._dirty.pop(key), now)
        self._hooks.got(self.name, len(self._ready), now - entry[1])
        return key

    # -- ending -----------------------------------------------------------------------------

    @property
    def closing(self) -> bool:
        """Whether the intake is shut."""
        return self._closing

    def shut_down(self, *, drop: bool = False) -> None:
        """Take no more keys and forget the delayed ones; with `drop`, the ready ones too.

        Ready keys are still handed out, so workers that loop over `get` drain the queue.
        """
        self._closing = True
        self._due.clear()
        self._delays.clear()
        if self._timer:
            self._timer.cancel()
        if drop:
            self._ready.clear()
            self._heap.clear()
            self._dirty.clear()
        while self._waiters:
            _wake(self._waiters.popleft())

    # -- observing --------------------------------------------------------------------------

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._due)

    def unfinished_seconds(self) -> float:
        """Sum of the ages of all runs in progress."""
        now = self._clock.monotonic()
        return sum(now - started for _, started in self._processing.values())

    def longest_running_seconds(self) -> float:
        """Age of the oldest run in progress; one that grows for ever is a stuck worker."""
        now = self._clock.monotonic()
        return max((now - started for _, started in self._processing.values()), default=0.0)

    # -- inside -----------------------------------------------------------------------------

    def _priority(self, key: K, wanted: int | None) -> int:
        if wanted is not None:
            return wanted
        running = self._processing.get(key)
        return running[0] if running else NORMAL

    def _make_ready(self, key: K, priority: int, *, news: bool) -> None:
        order = next(self._order)
        since = self._clock.monotonic() if news else self._ready[key][1]
        self._ready[key] = (order, since)
        heapq.heappush(self._heap, (-priority, order, key))
        if news:
            self._hooks.added(self.name, len(self._ready))
            self._wake_one()

    def _wake_one(self) -> None:
        while self._waiters:
            if _wake(self._waiters.popleft()):
                return

    def _leave(self, waiter: asyncio.Future[None]) -> None:
        """A cancelled waiter that was already woken passes its turn on."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif self._ready:
            self._wake_one()

    def _arm(self) -> None:
        """Keep one timer, for the earliest delay that is still wanted."""
        if len(self._delays) > 2 * len(self._due) + 64:
            self._delays = [entry for entry in self._delays if not self._stale(*entry)]
            heapq.heapify(self._delays)
        while self._delays and self._stale(*self._delays[0]):
            heapq.heappop(self._delays)
        if not self._delays:
            return
        due = self._delays[0][0]
        if self._timer:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._clock.call_later(due - self._clock.monotonic(), self._fire)

    def _stale(self, _: float, order: int, key: K) -> bool:
        planned = self._due.get(key)
        return planned is None or planned[2] != order

    def _fire(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        while self._delays and self._delays[0][0] <= now:
            entry = heapq.heappop(self._delays)
            if not self._stale(*entry):
                self.add(entry[2], self._due[entry[2]][1])
        self._arm()


def _wake(waiter: asyncio.Future[None]) -> bool:
    if waiter.done():
        return False
    waiter.set_result(None)
    return True
