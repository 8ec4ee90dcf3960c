"""The wall clock steps a day either way; nothing that the runtime waits for notices."""

from __future__ import annotations

import pytest
from tests.unit.runtime.fake_api import FakeApi
from tests.unit.runtime.helpers import Running
from tests.unit.runtime.test_leader import Candidate, run, spec

from llama_operator.runtime import Breaker, Controller, FakeClock, Key, Result, WorkQueue
from llama_operator.runtime.clock import settle
from llama_operator.runtime.ratelimit import Backoff, TokenBucket

DAY = 86_400.0
steps = pytest.mark.parametrize("step", [DAY, -DAY])


@steps
async def test_a_lease_is_kept_and_not_taken(server: FakeApi, step: float) -> None:
    """`run` fails when two lead at once."""
    clock = FakeClock()
    leader = Candidate(server, clock, "a")
    await run(clock, 1, leader)
    other = Candidate(server, clock, "b")
    for _ in range(3):
        clock.step(step)
        await run(clock, 20, leader, other)
        assert leader.elector.is_leader
    assert spec(server)["leaseTransitions"] == 0
    await leader.close()
    await other.close()


@steps
async def test_a_dead_leader_is_succeeded_no_sooner_and_no_later(
    server: FakeApi, step: float
) -> None:
    clock = FakeClock()
    leader = Candidate(server, clock, "a")
    await run(clock, 1, leader)
    await leader.close()
    other = Candidate(server, clock, "b")
    await run(clock, 5, other)
    clock.step(step)
    await run(clock, 8, other)
    assert not other.elector.is_leader
    await run(clock, 6, other)
    assert other.elector.is_leader
    await other.close()


@steps
def test_delays_and_ages_are_those_that_were_meant(step: float) -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    queue.add_after("a", 10)
    clock.advance(9)
    clock.step(step)
    assert len(queue) == 0
    clock.advance(1.1)
    assert len(queue) == 1


@steps
async def test_a_requeue_comes_when_it_was_asked_for(step: float) -> None:
    clock = FakeClock()
    times: list[float] = []

    async def reconcile(_: Key) -> Result:
        times.append(clock.monotonic())
        return Result(requeue_after=30)

    controller = Controller("c", reconcile, clock=clock)
    async with Running(controller.run()):
        controller.queue.add(Key("ns", "a"))
        await clock.run_for(10, step=1)
        clock.step(step)
        await clock.run_for(51, step=1)
    assert times == [0, 30, 60]


@steps
async def test_a_breaker_and_a_bucket_go_on(step: float) -> None:
    clock = FakeClock()
    bucket = TokenBucket(1.0, 1, clock)
    breaker = Breaker(1, clock, Backoff(base=2.0, cap=2.0))
    assert bucket.allow()
    breaker.failure("refused")
    clock.step(step)
    assert not bucket.allow()
    async with Running(breaker.admit()) as probe:
        await settle()
        assert not probe.done()
        await clock.run_for(2.1)
        assert probe.done()
    assert bucket.allow()
