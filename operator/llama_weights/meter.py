"""How far a fetch has come and how fast it goes: numbers for people, logs and the status."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

_WINDOW = 30.0


@dataclass(frozen=True)
class Reading:
    """Bytes done and in total, bytes per second over the last half minute."""

    phase: str
    done: int
    total: int
    rate: float
    # Seconds until the right to fetch ends; None where it does not.
    left: float | None = None

    @property
    def eta(self) -> str:
        """Time left such as "3m20s"; "" while it cannot be told."""
        if self.rate < 1 or self.done >= self.total:
            return ""
        seconds = (self.total - self.done) / self.rate
        late = self.left is not None and seconds > self.left
        warning = f", but the URL expires in {duration(max(0.0, self.left or 0.0))}" if late else ""
        return duration(seconds) + warning


class Meter:
    """A counter that threads add to. `resumed` bytes are done but were not fetched now."""

    def __init__(self, total: int = 0) -> None:
        self.total = total
        self.phase = "Fetching"
        # When the right to fetch ends, in seconds since 1970; 0: never.
        self.expires = 0.0
        # Requests for bytes that failed and were made again.
        self.retries = 0
        self._done = 0
        self._fetched = 0
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque([(self._started, 0)])

    def add(self, count: int, *, resumed: bool = False) -> None:
        """Count bytes; negative ones take rejected bytes back."""
        with self._lock:
            self._done += count
            self._fetched += 0 if resumed else max(0, count)

    def retried(self) -> None:
        """Count a request that failed and is made again."""
        with self._lock:
            self.retries += 1

    def restart(self) -> None:
        """Another piece of work begins: count from nothing."""
        with self._lock:
            self._done = self._fetched = self.total = 0
            self._samples.clear()
            self._samples.append((time.monotonic(), 0))

    @property
    def fetched(self) -> int:
        """Bytes that came over the network in this run."""
        with self._lock:
            return self._fetched

    def read(self) -> Reading:
        """The present state."""
        with self._lock:
            now = time.monotonic()
            self._samples.append((now, self._fetched))
            while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW:
                self._samples.popleft()
            then, fetched = self._samples[0]
            rate = (self._fetched - fetched) / max(now - then, 0.001)
            left = self.expires - time.time() if self.expires else None
            return Reading(self.phase, min(self._done, self.total), self.total, rate, left)


def duration(seconds: float) -> str:
    """Seconds for people: 45s, 3m20s, 2h05m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class Throttle:
    """At most `rate` bytes per second over all threads; 0: no limit."""

    def __init__(self, rate: int, stop: threading.Event) -> None:
        self._rate, self._stop = rate, stop
        self._free_at = 0.0
        self._lock = threading.Lock()

    def spend(self, count: int) -> None:
        """Wait until `count` bytes may have come."""
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(now, self._free_at) + count / self._rate
            wait = self._free_at - now
        if wait > 0:
            self._stop.wait(wait)
