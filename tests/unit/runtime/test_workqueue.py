from __future__ import annotations

import asyncio

import pytest

from llama_operator.runtime import LOW, FakeClock, ShutDown, WorkQueue
from llama_operator.runtime.clock import settle
from llama_operator.runtime.ratelimit import ItemBackoff


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> WorkQueue[str]:
    return WorkQueue("q", clock=clock, limiter=ItemBackoff[str](base=1.0, cap=60.0))


async def test_a_key_is_handed_out_once_however_often_it_is_added(queue: WorkQueue[str]) -> None:
    for _ in range(3):
        queue.add("a")
    assert await queue.get() == "a"
    assert len(queue) == 0


async def test_a_key_added_while_processed_comes_back_only_after_done(
    queue: WorkQueue[str],
) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_a_change_overtakes_the_initial_list_and_raises_a_waiting_key(
    queue: WorkQueue[str],
) -> None:
    for key in ("a", "b", "c"):
        queue.add(key, LOW)
    queue.add("new")
    queue.add("c")
    assert [await queue.get() for _ in range(4)] == ["new", "c", "a", "b"]


async def test_a_low_add_does_not_sink_a_waiting_key(queue: WorkQueue[str]) -> None:
    queue.add("low", LOW)
    queue.add("a")
    queue.add("a", LOW)
    assert await queue.get() == "a"


async def test_a_retry_keeps_the_priority_of_its_run(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    queue.add("a", LOW)
    await queue.get()
    queue.add_rate_limited("a")
    queue.done("a")
    clock.advance(1.0)
    queue.add("b")
    assert [await queue.get(), await queue.get()] == ["b", "a"]


async def test_the_earlier_of_two_delays_counts(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    clock.advance(4.9)
    assert len(queue) == 0
    clock.advance(0.2)
    assert await queue.get() == "a"
    queue.done("a")
    clock.advance(100)
    assert len(queue) == 0


async def test_work_now_fulfils_a_delay(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add_after("a", 5)
    queue.add("a")
    queue.done(await queue.get())
    clock.advance(60)
    assert len(queue) == 0


async def test_delays_of_many_keys_end_in_order(queue: WorkQueue[str], clock: FakeClock) -> None:
    for number in (3, 1, 2):
        queue.add_after(f"k{number}", number)
    clock.advance(10)
    assert [await queue.get() for _ in range(3)] == ["k1", "k2", "k3"]


async def test_backoff_grows_until_forgotten(queue: WorkQueue[str], clock: FakeClock) -> None:
    for expected in (1.0, 2.0, 4.0):
        queue.add_rate_limited("a")
        clock.advance(expected - 0.01)
        assert len(queue) == 0
        clock.advance(0.02)
        queue.done(await queue.get())
    queue.forget("a")
    queue.add_rate_limited("a")
    clock.advance(1.0)
    assert len(queue) == 1


async def test_delays_that_were_overtaken_take_no_memory(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    for _ in range(5000):
        queue.add_after("a", 1000)
        queue.add("a")
        queue.done(await queue.get())
        queue.add_after("b", 1000)
    assert len(queue._delays) < 200


async def test_a_cancelled_waiter_passes_its_turn_on(queue: WorkQueue[str]) -> None:
    first = asyncio.ensure_future(queue.get())
    second = asyncio.ensure_future(queue.get())
    await settle()
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"


async def test_shut_down_hands_out_what_is_ready_then_ends(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add_after("b", 1)
    queue.shut_down()
    queue.add("c")
    assert await queue.get() == "a"
    with pytest.raises(ShutDown):
        await queue.get()


async def test_shut_down_wakes_waiting_workers(queue: WorkQueue[str]) -> None:
    waiter = asyncio.ensure_future(queue.get())
    await settle()
    queue.shut_down(drop=True)
    with pytest.raises(ShutDown):
        await asyncio.wait_for(waiter, 1)


async def test_ages_of_running_work(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add("a")
    await queue.get()
    clock.advance(3)
    queue.add("b")
    await queue.get()
    clock.advance(2)
    assert queue.longest_running_seconds() == 5
    assert queue.unfinished_seconds() == 7
