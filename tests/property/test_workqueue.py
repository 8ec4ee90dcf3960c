"""The work queue against a model that is obvious: sets, no heaps, no timers."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llama_operator.runtime import LOW, NORMAL, FakeClock, WorkQueue
from llama_operator.runtime.ratelimit import ItemBackoff

KEYS = st.sampled_from("abcde")
PRIORITIES = st.sampled_from([LOW, NORMAL, 50])
DELAYS = st.integers(min_value=1, max_value=20).map(float)


def take(queue: WorkQueue[str]) -> str:
    """Get without a loop: with a key ready, `get` must not wait."""
    try:
        queue.get().send(None)
    except StopIteration as ready:
        return str(ready.value)
    raise AssertionError("get waits although a key is ready")


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue: WorkQueue[str] = WorkQueue(
            clock=self.clock, limiter=ItemBackoff[str](base=1.0, cap=16.0)
        )
        self.dirty: dict[str, tuple[int, int]] = {}  # key -> priority, when it became ready
        self.processing: dict[str, int] = {}
        self.due: dict[str, tuple[float, int]] = {}
        self.failures: dict[str, int] = {}
        self.step = 0

    def tick(self) -> int:
        self.step += 1
        return self.step

    def model_add(self, key: str, priority: int) -> None:
        self.due.pop(key, None)
        if key in self.dirty and self.dirty[key][0] >= priority:
            return
        self.dirty[key] = (priority, self.tick())

    def model_delay(self, key: str, delay: float, priority: int) -> None:
        if key in self.dirty:
            return
        due = self.clock.monotonic() + delay
        if key in self.due:
            planned, least = self.due[key]
            priority = max(priority, least)
            if planned <= due:
                self.due[key] = (planned, priority)
                return
            # Of those due at once, the one whose time was set first comes first.
            del self.due[key]
        self.due[key] = (due, priority)

    @rule(key=KEYS, priority=PRIORITIES)
    def add(self, key: str, priority: int) -> None:
        self.queue.add(key, priority)
        self.model_add(key, priority)

    @rule(key=KEYS)
    def add_without_priority(self, key: str) -> None:
        self.queue.add(key)
        self.model_add(key, self.processing.get(key, NORMAL))

    @rule(key=KEYS, delay=DELAYS, priority=PRIORITIES)
    def add_after(self, key: str, delay: float, priority: int) -> None:
        self.queue.add_after(key, delay, priority)
        self.model_delay(key, delay, priority)

    @rule(key=KEYS)
    def fail(self, key: str) -> None:
        self.queue.add_rate_limited(key)
        count = self.failures.get(key, 0)
        self.failures[key] = count + 1
        self.model_delay(key, min(16.0, 2.0**count), self.processing.get(key, NORMAL))

    @rule(key=KEYS)
    def forget(self, key: str) -> None:
        self.queue.forget(key)
        self.failures.pop(key, None)

    def ready(self) -> dict[str, tuple[int, int]]:
        return {k: v for k, v in self.dirty.items() if k not in self.processing}

    @precondition(lambda self: self.ready())
    @rule()
    def get(self) -> None:
        key = take(self.queue)
        ready = self.ready()
        assert key in ready
        assert ready[key][0] == max(priority for priority, _ in ready.values())
        peers = [since for priority, since in ready.values() if priority == ready[key][0]]
        assert ready[key][1] == min(peers)
        self.processing[key] = self.dirty.pop(key)[0]

    @precondition(lambda self: self.processing)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.processing)))
        self.queue.done(key)
        del self.processing[key]
        if key in self.dirty:
            self.dirty[key] = (self.dirty[key][0], self.tick())

    @rule(seconds=DELAYS)
    def advance(self, seconds: float) -> None:
        until = self.clock.monotonic() + seconds
        for key, (due, priority) in sorted(self.due.items(), key=lambda item: item[1][0]):
            if due <= until:
                self.model_add(key, priority)
        self.clock.advance(seconds)

    @invariant()
    def agrees(self) -> None:
        assert len(self.queue) == len(self.ready())
        assert self.queue.delayed == len(self.due)
        assert not set(self.due) & set(self.dirty)
        for key in "abcde":
            assert self.queue.failures(key) == self.failures.get(key, 0)

    def teardown(self) -> None:
        """Nothing is lost: whatever was wanted comes out once everything is done and due."""
        wanted = set(self.dirty) | set(self.due)
        for key in list(self.processing):
            self.queue.done(key)
        self.clock.advance(1000)
        seen = [take(self.queue) for _ in range(len(self.queue))]
        assert sorted(seen) == sorted(wanted)


TestWorkQueue = QueueMachine.TestCase
TestWorkQueue.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
