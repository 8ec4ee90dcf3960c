from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.unit.runtime.fake_api import FakeApi, Fault
from tests.unit.runtime.helpers import Running, eventually

from llama_operator.runtime import Api, EventRecorder, FakeClock, Object
from llama_operator.runtime.clock import settle
from llama_operator.runtime.events import cut

THING: Object = {
    "apiVersion": "example.com/v1",
    "kind": "Thing",
    "metadata": {"name": "a", "namespace": "ns", "uid": "u1"},
}


def sent(server: FakeApi) -> list[Object]:
    return [obj for key, obj in server.objects.items() if "/events/" in key]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def recorder(server: FakeApi, clock: FakeClock) -> AsyncIterator[EventRecorder]:
    api = server.api(clock=clock)
    yield EventRecorder(api, "example.com/operator", "pod-0")
    await api.close()


async def test_an_event_says_who_what_and_why(server: FakeApi, recorder: EventRecorder) -> None:
    async with Running(recorder.run()):
        recorder.event(THING, "Warning", "TooSmall", "Planning", "needs 2 GPUs")
        await eventually(lambda: len(sent(server)) == 1)
    event = sent(server)[0]
    assert event["regarding"]["uid"] == "u1"
    assert event["metadata"]["namespace"] == "ns"
    assert (event["type"], event["reason"], event["action"], event["note"]) == (
        "Warning",
        "TooSmall",
        "Planning",
        "needs 2 GPUs",
    )
    assert event["reportingController"] == "example.com/operator"
    assert event["eventTime"].endswith("Z")
    assert "series" not in event


async def test_repeats_are_one_series_and_few_writes(
    server: FakeApi, recorder: EventRecorder, clock: FakeClock
) -> None:
    async with Running(recorder.run()):
        for second in range(1200):
            recorder.event(THING, "Warning", "TooSmall", "Planning", f"try {second}")
            clock.advance(1)
            if second % 50 == 0:
                await asyncio.sleep(0.005)
        await eventually(lambda: len(recorder._waiting) == 0)
        assert len(sent(server)) == 1
        assert server.writes <= 5
        clock.advance(700)
        await settle()
        await eventually(lambda: sent(server)[0].get("series", {}).get("count") == 1200)
    assert server.writes <= 6


async def test_other_reasons_and_objects_are_other_events(
    server: FakeApi, recorder: EventRecorder
) -> None:
    other = {**THING, "metadata": {**THING["metadata"], "name": "b", "uid": "u2"}}
    async with Running(recorder.run()):
        recorder.event(THING, "Normal", "Ready", "Serving", "x")
        recorder.event(THING, "Normal", "Planned", "Planning", "x")
        recorder.event(other, "Normal", "Ready", "Serving", "x")
        await eventually(lambda: len(sent(server)) == 3)


async def test_the_rate_is_capped_and_drops_are_counted(
    server: FakeApi, recorder: EventRecorder
) -> None:
    async with Running(recorder.run()):
        for number in range(100):
            recorder.event(THING, "Normal", f"R{number}", "Act", "x")
        await eventually(lambda: len(sent(server)) == 25)
    assert recorder.dropped == 75


async def test_what_was_dropped_is_sent_when_it_comes_again_later(
    server: FakeApi, recorder: EventRecorder, clock: FakeClock
) -> None:
    async with Running(recorder.run()):
        for number in range(26):
            recorder.event(THING, "Normal", f"R{number}", "Act", "x")
        clock.advance(2.0)
        recorder.event(THING, "Normal", "R25", "Act", "x")
        await eventually(lambda: "R25" in {each["reason"] for each in sent(server)})
    assert (recorder.dropped, len(sent(server))) == (1, 26)


async def test_trouble_with_events_never_reaches_the_caller(
    server: FakeApi, recorder: EventRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    server.fault = lambda _: Fault(status=403, reason="Forbidden", message="namespace is going")
    async with Running(recorder.run()) as task:
        for number in range(5):
            recorder.event(THING, "Normal", f"R{number}", "Act", "x")
        await eventually(lambda: recorder.dropped == 5)
        assert not task.done()
    assert len(caplog.records) == 1


async def test_what_is_left_is_sent_at_the_end(server: FakeApi, api: Api) -> None:
    recorder = EventRecorder(api, "example.com/operator")
    task = asyncio.ensure_future(recorder.run())
    await settle()
    recorder.event(THING, "Normal", "Stopping", "Stop", "x")
    recorder.event(THING, "Normal", "Stopping", "Stop", "x")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sent(server)[0]["series"]["count"] == 2


def test_notes_are_cut_within_a_kibibyte_and_between_characters() -> None:
    text = cut("ü" * 1000, 1024)
    assert len(text.encode()) <= 1024
    assert text.endswith("ü...")
    assert cut("short", 1024) == "short"
