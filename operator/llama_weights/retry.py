"""How often to try again, how long to wait, and when to give up.

Waiting is jittered, because many Jobs behind one address are throttled together and would come
back together. A 429 stops all connections of the process, not only the one that met it, and
the seconds spent on such waits are bounded: a Job that sleeps for an hour looks hung.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from llama_weights.errors import AccessError, Interrupted, WeightsError


@dataclass(frozen=True)
class Policy:
    """Limits of patience; times in seconds.

    `attempts` counts failures in a row without a new byte. `rate_limit_wait` is the sum of all
    waits that a hub may ask for.
    """

    attempts: int = 6
    connect_timeout: float = 10.0
    stall_timeout: float = 30.0
    backoff: float = 0.5
    longest_backoff: float = 30.0
    rate_limit_wait: float = 900.0


class RateLimitedError(AccessError):
    """The hub asks to come back later; `wait` in seconds, None where it does not say when."""

    def __init__(self, message: str, wait: float | None, *, fix: str) -> None:
        super().__init__("RateLimited", message, fix=fix, temporary=True)
        self.wait = wait


class Patience:
    """The waits of one process, shared by its threads."""

    def __init__(self, policy: Policy, stop: threading.Event | None = None) -> None:
        self.policy = policy
        self.stop = stop or threading.Event()
        self._lock = threading.Lock()
        self._until = 0.0
        self._waited = 0.0

    def check(self) -> None:
        """Wait while the hub wants no requests. Raises Interrupted when asked to stop."""
        self._sleep(self._until - time.monotonic())

    def pause(self, failures: int) -> None:
        """Wait after the n-th failure in a row: exponential, with full jitter."""
        policy = self.policy
        most = min(policy.longest_backoff, policy.backoff * 2 ** (failures - 1))
        self._sleep(random.uniform(most / 2, most))  # noqa: S311 - spreads load, guards nothing

    def throttled(self, error: RateLimitedError, failures: int) -> None:
        """Keep every thread from asking for as long as the hub says; raises when that is too long."""
        wait = error.wait if error.wait is not None else 5.0 * 2 ** (failures - 1)
        with self._lock:
            now = time.monotonic()
            until = max(self._until, now + wait + random.uniform(0, 0.1 * wait))  # noqa: S311
            self._waited += max(0.0, until - max(now, self._until))
            if self._waited > self.policy.rate_limit_wait:
                raise error
            self._until = until
        self.check()

    def _sleep(self, seconds: float) -> None:
        if (seconds > 0 and self.stop.wait(seconds)) or self.stop.is_set():
            raise Interrupted


class Attempts:
    """Counts failures in a row of one piece of work."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failures = 0

    def failed(self, error: WeightsError, *, progressed: bool = False) -> None:
        """Wait before the next attempt, or raise the error when there is no use or no try left."""
        self._failures = 1 if progressed else self._failures + 1
        if not error.temporary or isinstance(error, Interrupted):
            raise error
        if isinstance(error, RateLimitedError):
            self._patience.throttled(error, self._failures)
        elif self._failures >= self._patience.policy.attempts:
            raise error
        else:
            self._patience.pause(self._failures)


_T = TypeVar("_T")


def retrying(patience: Patience, work: Callable[[], _T]) -> _T:
    """The result of `work`, tried again on temporary failures."""
    attempts = Attempts(patience)
    while True:
        patience.check()
        try:
            return work()
        except WeightsError as error:
            attempts.failed(error)
