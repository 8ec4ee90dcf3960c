"""Three ways to be slower: per key after failures, over all together, and per connection.

The first alone storms when everything fails at once; the second alone lets one broken object
starve the rest; so the queue takes the larger of both. Formulas are those of client-go
(util/workqueue/default_rate_limiters.go; tools/cache/reflector.go for the connection).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from .clock import Clock, SystemClock

K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)


class RateLimiter(Protocol[K_contra]):
    """Says how long a key has to wait before its next try."""

    def when(self, key: K_contra) -> float:
        """Seconds until `key` may be tried again; counts a failure."""

    def forget(self, key: K_contra) -> None:
        """The key has succeeded: start over."""

    def failures(self, key: K_contra) -> int:
        """Failures since the last success."""


class ItemBackoff(Generic[K]):
    """base * 2^failures seconds, at most `cap`.

    The cap is lower than client-go's 1000 s: when a user has repaired the cause outside the
    cluster (a quota, a token), nothing else wakes the object up.
    """

    def __init__(self, base: float = 0.005, cap: float = 300.0) -> None:
        self._base = base
        self._cap = cap
        self._failures: dict[K, int] = {}

    def when(self, key: K) -> float:
        """Seconds to wait; doubles with each call."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        # 2^64 * 5 ms is far above any cap, and a float overflows only past 2^1023.
        return float(min(self._base * 2.0 ** min(count, 64), self._cap))

    def forget(self, key: K) -> None:
        """Start over for `key`."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Calls of `when` since `forget`."""
        return self._failures.get(key, 0)


class TokenBucket:
    """`qps` tokens a second, at most `burst` saved up; a debt is served in order of asking."""

    def __init__(self, qps: float, burst: float, clock: Clock | None = None) -> None:
        if qps <= 0 or burst < 1:
            raise ValueError(f"token bucket: qps {qps} must be > 0 and burst {burst} >= 1")
        self._qps = qps
        self._burst = float(burst)
        self._clock = clock or SystemClock()
        self._tokens = self._burst
        self._last = self._clock.monotonic()

    def reserve(self) -> float:
        """Take one token and return the seconds to wait until it exists."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._last) * self._qps)
        self._last = now
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._qps)

    def allow(self) -> bool:
        """Take a token if one is there; for work that may be dropped."""
        if self.reserve() > 0.0:
            self._tokens += 1.0
            return False
        return True

    async def wait(self) -> float:
        """Take one token, waiting for it; returns the seconds waited."""
        delay = self.reserve()
        if delay > 0.0:
            await self._clock.sleep(delay)
        return delay


class MaxOf(Generic[K]):
    """Per-key backoff and one bucket over all keys: the longer wait counts."""

    def __init__(self, item: RateLimiter[K], bucket: TokenBucket) -> None:
        self._item = item
        self._bucket = bucket

    def when(self, key: K) -> float:
        """Seconds to wait."""
        return max(self._item.when(key), self._bucket.reserve())

    def forget(self, key: K) -> None:
        """Start over for `key`; tokens already taken stay taken."""
        self._item.forget(key)

    def failures(self, key: K) -> int:
        """Failures of `key`."""
        return self._item.failures(key)


def default_limiter(clock: Clock | None = None) -> MaxOf[K]:
    """5 ms doubling to 300 s per key, 10 a second with a burst of 100 over all keys."""
    return MaxOf(ItemBackoff(), TokenBucket(10, 100, clock))


class Backoff:
    """Growing, jittered pause between attempts at one thing (a watch, a probe).

    The n-th pause is base * 2^n, at most `cap`, times a random factor of 1..2, so that a thousand
    clients do not come back in step after an outage.
    """

    def __init__(
        self,
        base: float = 0.8,
        cap: float = 30.0,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._base = base
        self._cap = cap
        self._rand = rand
        self.tries = 0

    def next(self) -> float:
        """Seconds to pause now; at most `cap`."""
        pause = min(self._base * 2.0 ** min(self.tries, 32), self._cap)
        self.tries += 1
        return min(self._cap, pause * (1.0 + self._rand()))

    def reset(self) -> None:
        """The thing works again."""
        self.tries = 0
