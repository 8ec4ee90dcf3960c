"""Which range is fetched next.

As many files are under way as there are hashers; within them the file with the fewest open
connections is served first, in order, because a hash needs the bytes from the front. Bytes that
come long before their hash does are read from the disk again where a pod has little memory for
pages, and that takes from the writes of a volume whose speed is bought. Ranges are large enough that
a round trip costs little, and what they have brought counts after a crash (see part). When nothing is left to
hand out, an idle connection becomes the spare of a straggler (see task).
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from llama_weights.errors import Interrupted, WeightsError
from llama_weights.part import Part
from llama_weights.task import Task

# A straggler: this many times slower than the median, after so many seconds; per file so often.
SLOWER, PATIENCE, MOST_SPARES = 4.0, 2.0, 8
SMALLEST = 8 << 20
# The speed of a smaller task is that of its round trip.
TELLING = 1 << 20


class Schedule:
    """Hands out tasks to many threads until all is fetched, or something failed."""

    def __init__(
        self,
        parts: Iterable[Part],
        connections: int,
        started: Callable[[Part], None],
        largest: int,
        width: int = 1,
    ) -> None:
        """`largest`: bytes of a range; `width`: files that ranges are handed out of at once."""
        self._largest, self._width = largest, width
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
            self._changed.notify_all()
            if task.late:
                task.late.has_spare, task.late.since = False, time.monotonic()
            elif task.superseded:
                return
            elif task.position >= task.end:
                if task.size >= TELLING:
                    self._rates.append(task.rate(time.monotonic()))
            elif task.whole == task.part.whole:
                task.part.pending.insert(0, (task.position, task.end))

    def fetch_whole(self, part: Part) -> None:
        """The server ignores ranges: one connection fetches the file from its beginning."""
        with self._changed:
            if not part.whole:
                part.whole = True
                part.pending = [(0, part.file.size)]
                for task in self._out:
                    if task.part is part:
                        task.supersede()
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
        while len(self._open()) < self._width and self._waiting:
            self._activate(self._waiting.popleft())
        if not self._open():
            return self._spare()
        part = min(self._open(), key=lambda each: each.in_flight)
        start, end = part.pending.pop(0)
        return self._handed_out(Task(part, start, end, part.whole))

    def _open(self) -> list[Part]:
        """Files of which something is to be handed out."""
        return [part for part in self._active if part.pending]

    def _handed_out(self, task: Task) -> Task:
        task.part.in_flight += 1
        self._out.append(task)
        return task

    def _spare(self) -> Task | None:
        """A second task for the one that is farthest behind the others; None where none is.

        One connection in some dozens is a straggler at a fifth of the speed, and the end of a fetch
        waits for it. There is nothing else to do for the one who asks, so a second request is cheap.
        """
        now = time.monotonic()
        typical = statistics.median(self._rates) if self._rates else 0.0
        late = [task for task in self._out if self._is_late(task, now, typical)]
        if not late:
            return None
        last = max(late, key=lambda task: (task.end - task.position) / (task.rate(now) + 1))
        last.part.spares += 1
        last.has_spare = True
        return self._handed_out(Task(last.part, last.position, last.end, late=last))

    @staticmethod
    def _is_late(task: Task, now: float, typical: float) -> bool:
        helped = task.superseded or task.has_spare or task.late or task.whole
        if helped or not typical or now - task.since < PATIENCE:
            return False
        rate, left = task.rate(now), task.end - task.position
        in_time = left <= (left / typical + PATIENCE) * rate
        return rate < typical / SLOWER and not in_time and task.part.spares < MOST_SPARES

    @property
    def quiet(self) -> bool:
        """Whether nobody is at work any more but those whose work is done by others."""
        with self._changed:
            return all(task.superseded or task.late for task in self._out)

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
