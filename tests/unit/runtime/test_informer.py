from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.runtime.fake_api import FakeApi, Fault
from tests.unit.runtime.helpers import THINGS, THINGS_PATH, Running, eventually

from llama_operator.runtime import Api, Informer, Key, Object
from llama_operator.runtime import reflector as reflector_module
from llama_operator.runtime import stream as stream_module
from llama_operator.runtime.ratelimit import Backoff


class Log:
    """Handler that remembers what it saw."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def __call__(self, event: str, old: Object | None, new: Object | None) -> None:
        obj = new or old or {}
        self.events.append((event, obj["metadata"]["name"]))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pauses of milliseconds; the pauses themselves are tested with the Backoff."""
    monkeypatch.setattr(reflector_module, "Backoff", lambda: Backoff(base=0.005, cap=0.05))
    monkeypatch.setattr(reflector_module, "SHORT_WATCH", 0.02)
    monkeypatch.setattr(reflector_module, "HEALTHY_SECONDS", 0.1)
    yield


def make(api: Api, **options: Any) -> tuple[Informer, Log]:
    informer, seen = Informer(api, THINGS, **options), Log()
    informer.add_handler(seen)
    return informer, seen


def names(informer: Informer) -> set[str]:
    return {key.name for key in informer.store.keys()}  # noqa: SIM118


@pytest.mark.parametrize("watch_list", [True, False])
async def test_the_cache_follows_the_world(server: FakeApi, api: Api, watch_list: bool) -> None:
    server.watch_list = watch_list
    server.put(THINGS_PATH, name="a")
    informer, seen = make(api)
    assert not informer.synced
    async with Running(informer.run()):
        await informer.wait_synced()
        assert names(informer) == {"a"}
        server.put(THINGS_PATH, name="b")
        server.put(THINGS_PATH, {"spec": {"x": 1}}, name="a")
        server.remove(f"{THINGS_PATH}/b")
        await eventually(lambda: len(seen.events) == 4)
    assert seen.events == [("add", "a"), ("add", "b"), ("update", "a"), ("delete", "b")]
    stored = informer.store.get("ns", "a")
    assert stored and stored["spec"] == {"x": 1}
    assert any("limit" in query for _, _, query in server.requests) is not watch_list


async def test_a_server_without_the_final_bookmark_is_listed(
    server: FakeApi, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector_module, "INITIAL_SILENCE", 0.1)
    server.end_bookmark = False
    server.put(THINGS_PATH, name="a")
    informer, _ = make(api)
    async with Running(informer.run()):
        await eventually(lambda: informer.synced)
        assert names(informer) == {"a"}


@pytest.mark.parametrize("last", [b"", b'{"type":"ADDED","obj'])
async def test_initial_events_are_no_place_to_resume_from(
    server: FakeApi, api: Api, last: bytes
) -> None:
    """Ended or cut within the initial events: whoever resumed there would miss b for ever."""
    for name in ("a", "b"):
        server.put(THINGS_PATH, name=name)
    server.end_bookmark, server.initial_limit = False, 1
    informer, _ = make(api)
    async with Running(informer.run()):
        await eventually(lambda: server.streams == 1)
        await asyncio.sleep(0.05)
        assert not informer.synced
        server.end_bookmark, server.initial_limit = True, None
        server.send_raw(last)
        server.end_watches()
        await asyncio.wait_for(informer.wait_synced(), 5)
        assert names(informer) == {"a", "b"}


async def test_a_closed_watch_resumes_without_a_list(server: FakeApi, api: Api) -> None:
    server.put(THINGS_PATH, name="a")
    informer, seen = make(api)
    async with Running(informer.run()):
        await eventually(lambda: server.watching == 1)
        lists = server.count(sendInitialEvents="true")
        for name in ("b", "c", "d"):
            server.end_watches()
            server.put(THINGS_PATH, name=name)
            await eventually(lambda name=name: name in names(informer))  # type: ignore[misc]
        assert server.count(sendInitialEvents="true") == lists == 1
    assert [name for _, name in seen.events] == ["a", "b", "c", "d"]


async def test_changes_while_away_come_as_differences(server: FakeApi, api: Api) -> None:
    """410: what was deleted meanwhile is deleted, what is unchanged is no event."""
    for name in ("gone", "same", "changed"):
        server.put(THINGS_PATH, name=name)
    informer, seen = make(api)
    async with Running(informer.run()):
        await eventually(lambda: informer.synced and server.watching == 1)
        seen.events.clear()
        server.fault = lambda _: Fault(cut=True)
        server.end_watches()
        await eventually(lambda: server.watching == 0)
        server.remove(f"{THINGS_PATH}/gone")
        server.put(THINGS_PATH, {"spec": {"x": 2}}, name="changed")
        server.put(THINGS_PATH, name="new")
        server.expire()
        server.fault = lambda _: None
        await eventually(lambda: len(seen.events) == 3)
    assert sorted(seen.events) == [("add", "new"), ("delete", "gone"), ("update", "changed")]


async def test_410_as_an_event_lists_again(server: FakeApi, api: Api) -> None:
    informer, _ = make(api)
    async with Running(informer.run()):
        await eventually(lambda: informer.synced and server.watching == 1)
        status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
        server.send({"type": "ERROR", "object": status})
        await eventually(lambda: server.count(sendInitialEvents="true") == 2)


@pytest.mark.parametrize("data", [b'{"type":"ADDED","obj', b'{"type":"ADDED"}\n', b"\xff\xfe\n"])
async def test_torn_lines_are_no_events_and_lose_none(
    server: FakeApi, api: Api, data: bytes
) -> None:
    informer, seen = make(api)
    async with Running(informer.run()):
        await eventually(lambda: informer.synced and server.watching == 1)
        server.send_raw(data)
        server.end_watches()
        await eventually(lambda: server.watching == 0)
        server.put(THINGS_PATH, name="a")
        await eventually(lambda: "a" in names(informer))
    assert seen.events == [("add", "a")]


async def test_an_event_in_many_pieces_is_one_event(server: FakeApi, api: Api) -> None:
    informer, seen = make(api)
    async with Running(informer.run()):
        await eventually(lambda: informer.synced and server.watching == 1)
        big = {"metadata": {"name": "big", "namespace": "ns", "resourceVersion": "999"}}
        big["spec"] = {"text": "x" * 6_000_000}
        line = json.dumps({"type": "ADDED", "object": big}).encode() + b"\n"
        for start in range(0, len(line), 100_001):
            server.send_raw(line[start : start + 100_001])
        await eventually(lambda: "big" in names(informer))
    assert seen.events == [("add", "big")]


async def test_a_silent_watch_is_given_up(server: FakeApi, api: Api) -> None:
    stream = api.watch(THINGS, resource_version="100", idle_seconds=0.1)
    with pytest.raises(stream_module.SilenceError):
        await anext(stream)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(cut=True),
        Fault(status=500),
        Fault(status=410, reason="Expired"),
        Fault(status=200, raw=b""),
        Fault(status=200, raw=b'{"torn'),
        Fault(status=403, reason="Forbidden"),
    ],
)
async def test_no_fault_makes_a_busy_loop_or_a_log_flood(
    server: FakeApi, api: Api, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    informer, _ = make(api)
    async with Running(informer.run()):
        await eventually(lambda: informer.synced and server.watching == 1)
        caplog.set_level(logging.INFO)
        server.fault = lambda _: fault
        server.end_watches()
        before = len(server.requests)
        await asyncio.sleep(0.6)
        tries = len(server.requests) - before
        # With pauses of 0.05 s at most and two requests a round: far below a loop without pause.
        assert 3 <= tries <= 60
        warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert 1 <= len([r for r in warnings if "reflector" in r.name]) <= 3
        server.fault = lambda _: None
        server.put(THINGS_PATH, name="after")
        await eventually(lambda: "after" in names(informer) and server.watching == 1)
        await eventually(lambda: [r for r in caplog.records if "works again" in r.message])


async def test_a_bookmark_moves_the_place_to_resume_from(server: FakeApi, api: Api) -> None:
    informer, _ = make(api)
    async with Running(informer.run()):
        await eventually(lambda: informer.synced and server.watching == 1)
        server.version = 500
        server.bookmark()
        server.expire()
        await asyncio.sleep(0.05)
        server.end_watches()
        await eventually(lambda: server.count(watch="true", resourceVersion="500") == 1)
        assert server.count(sendInitialEvents="true") == 1


async def test_a_restored_store_is_listed_again(server: FakeApi, api: Api) -> None:
    informer, _ = make(api)
    async with Running(informer.run()):
        await eventually(lambda: informer.synced and server.watching == 1)
        server.bookmark(version=50)
        await eventually(lambda: server.count(sendInitialEvents="true") == 2)


@pytest.mark.parametrize("watch_list", [True, False])
async def test_transform_comes_before_the_cache_and_managed_fields_go(
    server: FakeApi, api: Api, watch_list: bool
) -> None:
    server.watch_list = watch_list
    server.put(THINGS_PATH, {"spec": {"keep": 1, "drop": 2}}, name="a", managedFields=[{}])
    plain, _ = make(api)

    def keep(obj: Object) -> Object:
        del obj["spec"]["drop"]
        return obj

    shaped, _ = make(api, transform=keep)
    async with Running(plain.run()), Running(shaped.run()):
        await eventually(lambda: plain.synced and shaped.synced)
        server.put(THINGS_PATH, {"spec": {"keep": 1, "drop": 2}}, name="b", managedFields=[{}])
        await eventually(lambda: len(plain.store) == len(shaped.store) == 2)
    for name in ("a", "b"):
        full, small = plain.store.get("ns", name), shaped.store.get("ns", name)
        assert full and small
        assert "managedFields" not in full["metadata"] and full["spec"]["drop"] == 2
        assert small["spec"] == {"keep": 1}


async def test_one_bad_handler_index_or_transform_disturbs_no_one(
    server: FakeApi, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    def bad(*_: object) -> Any:
        raise RuntimeError("bad")

    informer = Informer(api, THINGS, indexes={"bad": bad}, transform=bad)
    seen = Log()
    informer.add_handler(bad)
    informer.add_handler(seen)
    for name in ("a", "b", "c"):
        server.put(THINGS_PATH, name=name)
    async with Running(informer.run()):
        await eventually(lambda: len(seen.events) == 3)
        assert informer.store.by_index("bad", "x") == []
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 3


async def test_an_optional_kind_may_be_missing(
    server: FakeApi, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector_module, "ABSENT_RETRY", 0.02)
    server.kinds_missing = {"things"}
    informer, _ = make(api, optional=True)
    strict, _ = make(api)
    async with Running(informer.run()), Running(strict.run()):
        await eventually(lambda: informer.synced)
        assert not informer.served and not strict.synced
        server.kinds_missing = set()
        server.put(THINGS_PATH, name="a")
        await eventually(lambda: names(informer) == {"a"} and informer.served)


async def test_a_kind_that_is_not_installed_costs_nothing_until_it_is(
    server: FakeApi, api: Api
) -> None:
    server.kinds_missing = {"things"}
    there = asyncio.Event()
    informer, _ = make(api, installed=there.wait)
    async with Running(informer.run()):
        await eventually(lambda: informer.synced)
        asked = len(server.requests)
        await asyncio.sleep(0.1)
        assert len(server.requests) == asked
        there.set()  # a moment before the server knows the kind: no busy loop
        await asyncio.sleep(0.1)
        assert asked < len(server.requests) < asked + 40
        server.kinds_missing = set()
        server.put(THINGS_PATH, name="a")
        await eventually(lambda: names(informer) == {"a"} and informer.served)


async def test_indexes_follow_changes(server: FakeApi, api: Api) -> None:
    def by_label(obj: Object) -> list[str]:
        return [*(obj["metadata"].get("labels") or {}).values()]

    informer, seen = make(api, indexes={"label": by_label})
    server.put(THINGS_PATH, name="a", labels={"x": "one"})
    async with Running(informer.run()):
        await eventually(lambda: informer.synced and server.watching == 1)
        assert [o["metadata"]["name"] for o in informer.store.by_index("label", "one")] == ["a"]
        server.put(THINGS_PATH, name="a", labels={"x": "two", "y": "three"})
        await eventually(lambda: len(seen.events) == 2)
        assert informer.store.by_index("label", "one") == []
        assert len(informer.store.by_index("label", "three")) == 1
        server.remove(f"{THINGS_PATH}/a")
        await eventually(lambda: len(seen.events) == 3)
        assert informer.store.by_index("label", "three") == []
        assert Key("ns", "a") not in informer.store


async def test_handlers_can_tell_a_full_state_from_changes(server: FakeApi, api: Api) -> None:
    informer = Informer(api, THINGS)
    flags: list[bool] = []
    informer.add_handler(lambda *_: flags.append(informer.replaying))
    server.put(THINGS_PATH, name="a")
    async with Running(informer.run()):
        await eventually(lambda: informer.synced and server.watching == 1)
        server.put(THINGS_PATH, name="b")
        await eventually(lambda: len(flags) == 2)
    assert flags == [True, False]


async def test_watches_ask_for_bookmarks_and_a_random_length(server: FakeApi, api: Api) -> None:
    lengths = set()
    for _ in range(4):
        informer, _ = make(api)
        async with Running(informer.run()):
            await eventually(lambda: server.watching == 1)
        await eventually(lambda: server.watching == 0)
    for _, _, query in server.requests:
        assert query["allowWatchBookmarks"] == "true"
        lengths.add(int(query["timeoutSeconds"]))
    assert len(lengths) > 1
    assert all(300 <= length <= 600 for length in lengths)
