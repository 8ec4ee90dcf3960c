"""Workers that take keys from a queue and reconcile them.

A reconcile gets a key, never an event: it reads the caches and brings the whole state about, so
that a lost, merged or repeated event makes no difference. What it returns or raises decides when
the key comes back; an error always wins over a wish to be called again later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .breaker import Breaker
from .clock import Clock, SystemClock
from .current import about
from .errors import ApiError, Conflict, NotLeader, TerminalError, TransportError
from .hooks import NO_HOOKS, ControllerHooks, QueueHooks
from .ratelimit import RateLimiter
from .resource import Key
from .statelog import StateLog
from .workqueue import ShutDown, WorkQueue

log = logging.getLogger(__name__)

RESULTS = (
    "success",
    "requeue_after",
    "conflict",
    "error",
    "terminal_error",
    "transport_error",
    "not_leader",
)
SILENT_CONFLICTS = 5
"""Conflicts in a row that are not told: the cache was behind, and the retry finds it caught up."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile asks for: to be called again in `requeue_after` seconds, or nothing."""

    requeue_after: float | None = None


Reconcile = Callable[[Key], Awaitable[Result]]


class Controller:
    """Runs `reconcile` for the keys of its queue with `workers` tasks; one key at a time each.

    Raised by `reconcile`: TerminalError is logged and waits for the next change; TransportError
    is retried, counted apart and pauses all workers when it persists; NotLeader drops the key;
    Conflict is retried, counted apart and told only when it persists; anything else is retried
    with backoff. A failure is logged when it starts, changes and ends.
    """

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        workers: int = 4,
        *,
        clock: Clock | None = None,
        breaker: Breaker | None = None,
        limiter: RateLimiter[Key] | None = None,
        hooks: ControllerHooks | None = None,
        queue_hooks: QueueHooks | None = None,
    ) -> None:
        self.name = name
        self.workers = workers
        self.breaker = breaker
        self._clock = clock or SystemClock()
        self.queue: WorkQueue[Key] = WorkQueue(
            name, limiter=limiter, clock=self._clock, hooks=queue_hooks
        )
        self._reconcile = reconcile
        self._hooks = hooks or NO_HOOKS
        self._states = StateLog(log)
        self._active = 0

    async def run(self) -> None:
        """Work until the queue is shut down and drained; cancel to stop at once."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.workers):
                group.create_task(self._work(), name=f"{self.name}-{number}")

    async def _work(self) -> None:
        with contextlib.suppress(ShutDown):
            while True:
                key = await self.queue.get()
                try:
                    await self._admit()
                    with about(self.name, key):
                        await self._handle(key)
                finally:
                    self.queue.done(key)

    async def _admit(self) -> None:
        if self.breaker:
            await self.breaker.admit()

    async def _handle(self, key: Key) -> None:
        started = self._clock.monotonic()
        self._count(+1)
        try:
            outcome = await self._outcome(key)
        finally:
            self._count(-1)
        self._hooks.reconciled(self.name, outcome, self._clock.monotonic() - started)

    def _count(self, change: int) -> None:
        self._active += change
        self._hooks.active(self.name, self._active)

    async def _outcome(self, key: Key) -> str:
        try:
            result = await self._reconcile(key)
        except TerminalError as error:
            return self._terminal(key, error)
        except NotLeader:
            self.queue.forget(key)
            return "not_leader"
        except TransportError as error:
            self._failed(key, error, trace=False)
            return "transport_error"
        except ApiError as error:
            return self._refused(key, error)
        except Exception as error:
            self._failed(key, error, trace=True)
            return "error"
        return self._succeeded(key, result)

    def _succeeded(self, key: Key, result: Result) -> str:
        self.queue.forget(key)
        self._states.recovered(key, "%s %s: reconciled again", self.name, key)
        if result.requeue_after is None:
            return "success"
        self.queue.add_after(key, result.requeue_after)
        return "requeue_after"

    def _terminal(self, key: Key, error: TerminalError) -> str:
        self.queue.forget(key)
        self._states.failed(key, f"{self.name} {key}: waits for a change", error)
        return "terminal_error"

    def _refused(self, key: Key, error: ApiError) -> str:
        conflict = isinstance(error, Conflict)
        if conflict and self.queue.failures(key) < SILENT_CONFLICTS:
            log.debug("%s %s: decides anew: %s", self.name, key, error)
            self.queue.add_rate_limited(key)
        else:
            self._failed(key, error, trace=False)
        return "conflict" if conflict else "error"

    def _failed(self, key: Key, error: Exception, *, trace: bool) -> None:
        # While the breaker is open it has said so already, once for all keys.
        if not (isinstance(error, TransportError) and self.breaker and self.breaker.open):
            self._states.failed(key, f"{self.name} {key}: will retry", error, trace=trace)
        self.queue.add_rate_limited(key)
