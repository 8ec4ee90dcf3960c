"""Which range is fetched next.

A few files are under way at once, so that their hashes keep several cores busy; within them the
file with the fewest open connections is served first, in order, because a hash needs the bytes
from the front. Ranges are large enough that a round trip costs little, and what they have
already brought counts after a crash (see part), so their size is no loss. When nothing is left to hand
out, the rest of a straggler is fetched over another connection.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from llama_weights.errors import Interrupted, WeightsError
from llama_weights.part import Part

WIDTH = 4
# A straggler: this many times slower than the median, after so many seconds; per file so often.
SLOWER, PATIENCE, MOST_REISSUES = 4.0, 2.0, 8
SMALLEST = 8 << 20


@dataclass
class Task:
    """Bytes [position, end) of one part; `position` advances as they come."""

    part: Part
    position: int
    end: int
    whole: bool = False
    # Another task fetches the rest of it; guarded by `lock`, as is every write of its bytes.
    superseded: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    began: float = field(default_factory=time.monotonic)
    first: int = -1

    def __post_init__(self) -> None:
        self.first = self.position

    def rate(self, now: float) -> float:
        """Bytes per second so far."""
        return (self.position - self.first) / max(now - self.began, 0.001)

    def supersede(self) -> int:
        """Stop it from writing; returns where the rest of it begins."""
        with self.lock:
            self.superseded = True
            return self.position


class Schedule:
    """Hands out tasks to many threads until all is fetched, or something failed."""

    def __init__(
        self,
        parts: Iterable[Part],
        connections: int,
        started: Callable[[Part], None],
        largest: int,
    ) -> None:
        self._largest = largest
        self._waiting = deque(parts)
        self._connections = connections
        self._started = started
        self._active: list[Part] = []
        self._out: list[Task] = []
        self._rates: deque[float] = deque(maxlen=32)
        self._unfinished = len(self._waiting)
        self._changed = threading.Condition()
        self.failure: WeightsError | None = None

    def next(self) -> Task | None:
        """The next task; waits for one; None when there will be none."""
        with self._changed:
            while not self._over():
                task = self._take()
                if task:
                    return task
                self._changed.wait(1.0)
        return None

    def returned(self, task: Task) -> None:
        """A task has ended, whichever way; what it did not fetch is handed out again."""
        with self._changed:
            task.part.in_flight -= 1
            self._out.remove(task)
            if task.superseded:
                self._changed.notify_all()
                return
            if task.position >= task.end:
                self._rates.append(task.rate(time.monotonic()))
            if task.position < task.end and task.whole == task.part.whole:
                task.part.pending.insert(0, (task.position, task.end))
            self._changed.notify_all()

    def fetch_whole(self, part: Part) -> None:
        """The server ignores ranges: one connection fetches the file from its beginning."""
        with self._changed:
            if not part.whole:
                part.whole = True
                part.pending = [(0, part.file.size)]
            self._changed.notify_all()

    def again(self, part: Part) -> None:
        """The part was reset: fetch all of it."""
        with self._changed:
            part.pending = self._split(part)
            if part not in self._active:
                self._active.append(part)
            self._changed.notify_all()

    def finished(self) -> None:
        """One more file has its name."""
        with self._changed:
            self._unfinished -= 1
            self._changed.notify_all()

    def fail(self, error: WeightsError) -> None:
        """Stop everything; the first error is the one that is told."""
        with self._changed:
            if self.failure is None or isinstance(self.failure, Interrupted):
                self.failure = error
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Whether all has ended within that time, well or badly."""
        with self._changed:
            return self._changed.wait_for(self._over, seconds)

    def _over(self) -> bool:
        return not self._unfinished or self.failure is not None

    def _take(self) -> Task | None:
        self._active = [part for part in self._active if part.pending or part.in_flight]
        while len(self._active) < WIDTH and self._waiting:
            self._activate(self._waiting.popleft())
        open_parts = [part for part in self._active if part.pending]
        if not open_parts:
            return self._reissued()
        part = min(open_parts, key=lambda each: each.in_flight)
        start, end = part.pending.pop(0)
        return self._handed_out(Task(part, start, end, part.whole))

    def _handed_out(self, task: Task) -> Task:
        task.part.in_flight += 1
        self._out.append(task)
        return task

    def _reissued(self) -> Task | None:
        """The rest of a task that is far behind the others; None where none is.

        One connection in some dozens is a straggler at a fifth of the speed, and the end of a fetch
        waits for it. There is nothing else to do for the one who asks, so a second request is cheap.
        """
        now = time.monotonic()
        typical = statistics.median(self._rates) if self._rates else 0.0
        late = [task for task in self._out if self._is_late(task, now, typical)]
        if not late:
            return None
        slowest = max(late, key=lambda task: (task.end - task.position) / (task.rate(now) + 1))
        slowest.part.reissued += 1
        return self._handed_out(Task(slowest.part, slowest.supersede(), slowest.end))

    @staticmethod
    def _is_late(task: Task, now: float, typical: float) -> bool:
        if task.whole or task.superseded or now - task.began < PATIENCE or not typical:
            return False
        left = task.end - task.position
        soon = left / typical + PATIENCE
        slow = task.rate(now) < typical / SLOWER
        return slow and task.part.reissued < MOST_REISSUES and left > soon * task.rate(now)

    @property
    def quiet(self) -> bool:
        """Whether nobody is at work any more but those whose work is done by others."""
        with self._changed:
            return all(task.superseded for task in self._out)

    def _activate(self, part: Part) -> None:
        part.open()
        part.pending = self._split(part)
        if part.pending:
            self._active.append(part)
        self._started(part)

    def _split(self, part: Part) -> list[tuple[int, int]]:
        size = part.file.size
        if part.whole:
            return [(0, size)]
        step = min(self._largest, max(SMALLEST, -(-size // self._connections)))
        return [
            (start, min(start + step, end))
            for first, end in part.done.gaps(size)
            for start in range(first, end, step)
        ]
