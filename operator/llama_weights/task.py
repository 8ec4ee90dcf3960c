"""Bytes that one connection fetches, and the spare that may overtake it.

A spare begins where a straggler is and throws away what the straggler has written meanwhile; the
moment it is in front, it goes on alone. So every byte is written by exactly one of the two and never
again, which matters because it may have been hashed; and a spare that the server refuses costs
nothing, because the straggler is still at work.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from llama_weights.part import Part

_WINDOW = 5.0


@dataclass(eq=False)
class Task:
    """Bytes [position, end) of one part; `position` advances as they come.

    `late` is the straggler whose spare this is, until it is overtaken. `superseded`: another task
    fetches the rest. `lock` guards what both may change: position, noted, superseded. `has_spare` and
    `since`, when it began or its last spare gave up, belong to the schedule.
    """

    part: Part
    position: int
    end: int
    whole: bool = False
    late: Task | None = None
    has_spare: bool = False
    superseded: bool = False
    noted: int = field(init=False)
    size: int = field(init=False)
    since: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.noted, self.size = self.position, self.end - self.position
        self._marks = [(self.since, self.position)]

    def rate(self, now: float) -> float:
        """Bytes per second of late; called by the schedule only."""
        since, position = self._marks[0]
        if now - self._marks[-1][0] >= _WINDOW:
            self._marks = [self._marks[-1], (now, self.position)]
        return (self.position - position) / max(now - since, 0.001)

    def write(self, data: memoryview) -> bool:
        """Put the next bytes at their place; False when another task has all that is left."""
        if self.late:
            there = self._behind(self.late, len(data))
            data = data[there:]
        with self.lock:
            if self.superseded:
                return False
            self.part.write(data, self.position)
            self.position += len(data)
            return True

    def note(self) -> int:
        """Record what was written since the last time; returns how many bytes are new."""
        with self.lock:
            start, end = self.noted, self.position
            self.noted = end
        return self.part.record(start, end)

    def supersede(self) -> None:
        """Stop it from writing."""
        with self.lock:
            self.superseded = True

    def _behind(self, late: Task, count: int) -> int:
        """How many of the next bytes the straggler has written; overtakes it if not all."""
        with late.lock:
            there = min(count, late.position - self.position)
            self.position = self.noted = self.position + there
            self.superseded |= late.position >= late.end
            if there < count:
                # It may hang for long, so what it has not recorded yet is ours to record.
                late.superseded, self.noted, late.noted = True, late.noted, late.position
                self.late = None
        return there
