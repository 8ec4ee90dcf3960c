from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from tests.unit.runtime.helpers import Running

from llama_operator.runtime import (
    Breaker,
    Conflict,
    Controller,
    FakeClock,
    Key,
    NotLeader,
    Result,
    TerminalError,
    TransportError,
)
from llama_operator.runtime.clock import settle
from llama_operator.runtime.hooks import NoHooks
from llama_operator.runtime.ratelimit import Backoff, ItemBackoff

A = Key("ns", "a")
Act = Callable[[Key], Awaitable[Result]]


class Outcomes(NoHooks):
    def __init__(self) -> None:
        self.results: list[str] = []
        self.most = 0

    def active(self, controller: str, workers: int) -> None:  # noqa: ARG002
        self.most = max(self.most, workers)

    def reconciled(self, controller: str, result: str, seconds: float) -> None:  # noqa: ARG002
        self.results.append(result)


class World:
    """A controller whose reconcile does what the script says, one step a call."""

    def __init__(self, *script: Result | Exception, breaker: Breaker | None = None) -> None:
        self.clock = FakeClock()
        self.script = list(script)
        self.calls: list[tuple[float, Key]] = []
        self.outcomes = Outcomes()
        self.controller = Controller(
            "c",
            self.reconcile,
            clock=self.clock,
            breaker=breaker,
            limiter=ItemBackoff[Key](base=1.0, cap=8.0),
            hooks=self.outcomes,
        )

    async def reconcile(self, key: Key) -> Result:
        self.calls.append((self.clock.monotonic(), key))
        step = self.script.pop(0) if self.script else Result()
        if isinstance(step, Exception):
            raise step
        return step

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.calls]


async def test_errors_back_off_and_success_resets() -> None:
    boom = ValueError("boom")
    world = World(boom, boom, boom, Result(), boom)
    async with Running(world.controller.run()):
        world.controller.queue.add(A)
        await world.clock.run_for(7, step=0.5)
        assert world.times == [0, 1, 3, 7]
        world.controller.queue.add(A)
        await world.clock.run_for(1, step=0.5)
        assert world.times == [0, 1, 3, 7, 7, 8]
    assert world.outcomes.results == ["error"] * 3 + ["success", "error", "success"]


async def test_requeue_after_is_no_failure() -> None:
    world = World(Result(requeue_after=5), Result(requeue_after=5))
    async with Running(world.controller.run()):
        world.controller.queue.add(A)
        await world.clock.run_for(12, step=0.5)
    assert world.times == [0, 5, 10]
    assert world.outcomes.results == ["requeue_after", "requeue_after", "success"]


async def test_a_terminal_error_waits_for_a_change() -> None:
    world = World(TerminalError("spec.model is unknown"))
    async with Running(world.controller.run()):
        world.controller.queue.add(A)
        await world.clock.run_for(1000, step=50)
        assert world.times == [0]
        world.controller.queue.add(A)
        await settle()
    assert world.outcomes.results == ["terminal_error", "success"]


async def test_not_leader_drops_the_key() -> None:
    world = World(NotLeader("lost"))
    async with Running(world.controller.run()):
        world.controller.queue.add(A)
        await world.clock.run_for(1000, step=50)
    assert world.outcomes.results == ["not_leader"]


async def test_transport_errors_are_counted_apart() -> None:
    world = World(TransportError("refused"), Conflict(409, "Conflict", "stale"))
    async with Running(world.controller.run()):
        world.controller.queue.add(A)
        await world.clock.run_for(5, step=0.5)
    assert world.outcomes.results == ["transport_error", "conflict", "success"]


async def test_conflicts_are_told_only_when_they_persist(caplog: pytest.LogCaptureFixture) -> None:
    stale = Conflict(409, "Conflict", "the object has been modified")
    world = World(*[stale] * 5, Result(), *[stale] * 7)
    async with Running(world.controller.run()):
        world.controller.queue.add(A)
        await world.clock.run_for(40, step=0.5)
        assert not caplog.records
        world.controller.queue.add(A)
        await world.clock.run_for(60, step=0.5)
    assert world.outcomes.results.count("conflict") == 12
    told = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert len(told) == 1
    assert "has been modified" in told[0].message


async def test_one_line_per_change_of_state(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    failures = [ValueError(f"port {n} of 0x7f{n:06x} is taken") for n in range(4)]
    world = World(*failures, ValueError("other"), Result())
    async with Running(world.controller.run()):
        world.controller.queue.add(A)
        await world.clock.run_for(60, step=0.5)
    assert len(world.calls) == 6
    lines = [r.message for r in caplog.records if r.name.endswith("controller")]
    assert len(lines) == 3
    assert "port 0" in lines[0] and "other" in lines[1] and "again" in lines[2]
    assert [bool(r.exc_info) for r in caplog.records[:2]] == [True, True]


async def test_a_key_is_never_reconciled_twice_at_a_time() -> None:
    running: set[Key] = set()
    overlaps = 0

    async def reconcile(key: Key) -> Result:
        nonlocal overlaps
        overlaps += key in running
        running.add(key)
        await asyncio.sleep(0.002)
        running.discard(key)
        return Result()

    outcomes = Outcomes()
    controller = Controller("c", reconcile, workers=4, hooks=outcomes)
    async with Running(controller.run()):
        for _ in range(20):
            for name in "abcdef":
                controller.queue.add(Key("ns", name))
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
    assert overlaps == 0
    assert outcomes.most == 4


async def test_workers_pause_while_the_server_is_away(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    breaker = Breaker(threshold=3, clock=clock, backoff=Backoff(4.0, 30.0, rand=lambda: 0.0))
    world = World()
    down = True
    calls: list[float] = []

    async def reconcile(_: Key) -> Result:
        calls.append(clock.monotonic())
        if down:
            breaker.failure("refused")
            raise TransportError("refused")
        breaker.success()
        return Result()

    controller = Controller(
        "c", reconcile, clock=clock, breaker=breaker, limiter=ItemBackoff[Key](0.01, 0.1)
    )
    keys = [Key("ns", f"k{n}") for n in range(50)]
    async with Running(controller.run()):
        for key in keys:
            controller.queue.add(key)
        await clock.run_for(60, step=0.1)
        # Four workers were under way; then one probe after 4, 8, 16 and 30 s.
        assert len(calls) <= 4 + 4
        assert [r for r in caplog.records if "does not answer" in r.message]
        down = False
        before = len(calls)
        await clock.run_for(31, step=0.1)
        assert len(calls) - before >= 50
    assert not breaker.open
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) <= 4
    assert world.calls == []


async def test_shutdown_lets_running_work_finish() -> None:
    gate = asyncio.Event()
    done: list[Key] = []

    async def reconcile(key: Key) -> Result:
        await gate.wait()
        done.append(key)
        return Result()

    controller = Controller("c", reconcile, workers=1)
    controller.queue.add(A)
    controller.queue.add(Key("ns", "b"))
    task = asyncio.ensure_future(controller.run())
    await settle()
    controller.queue.shut_down(drop=True)
    gate.set()
    await asyncio.wait_for(task, 1)
    assert done == [A]
