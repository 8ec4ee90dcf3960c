"""Clock, rate limits, breaker, errors, state log, store, configuration."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest
from tests.unit.runtime.helpers import THINGS, Running

from llama_operator.runtime import (
    Breaker,
    Compact,
    Conflict,
    FakeClock,
    Forbidden,
    Gone,
    Invalid,
    Key,
    NotFound,
    Resource,
    ServerError,
    Store,
    SystemClock,
    TransportError,
    load_configuration,
)
from llama_operator.runtime import errors as errors_module
from llama_operator.runtime.clock import settle, within
from llama_operator.runtime.decoding import loads
from llama_operator.runtime.ratelimit import Backoff, ItemBackoff, MaxOf, TokenBucket
from llama_operator.runtime.slices import slices
from llama_operator.runtime.statelog import StateLog


async def test_within_ends_work_that_takes_too_long() -> None:
    clock = FakeClock()
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Running(within(clock, 5, work())) as task:
        await settle()
        clock.advance(4.9)
        await settle()
        assert not task.done()
        clock.advance(0.2)
        await settle()
        with pytest.raises(TimeoutError):
            task.result()
    assert ended.is_set()


async def test_within_passes_results_errors_and_cancellation_on() -> None:
    clock = FakeClock()

    async def value() -> int:
        return 7

    async def fail() -> None:
        raise ValueError("x")

    assert await within(clock, 1, value()) == 7
    with pytest.raises(ValueError, match="x"):
        await within(clock, 1, fail())
    task = asyncio.ensure_future(within(clock, 1, clock.sleep(100)))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_system_clock_moves_on_and_sleeps() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.02)
    assert 0.015 <= clock.monotonic() - before < 1
    assert clock.now().utcoffset() is not None


def test_item_backoff_doubles_per_key_to_its_cap() -> None:
    backoff = ItemBackoff[str](base=0.005, cap=300)
    waits = [backoff.when("a") for _ in range(40)]
    assert waits[:4] == [0.005, 0.01, 0.02, 0.04]
    assert waits[-1] == 300
    assert backoff.when("b") == 0.005
    backoff.forget("a")
    assert backoff.failures("a") == 0
    assert backoff.when("a") == 0.005


def test_the_bucket_allows_a_burst_then_its_rate() -> None:
    clock = FakeClock()
    bucket = TokenBucket(10, 3, clock)
    assert [bucket.reserve() for _ in range(5)] == pytest.approx([0, 0, 0, 0.1, 0.2])
    clock.advance(10)
    assert [bucket.allow() for _ in range(4)] == [True, True, True, False]
    clock.advance(0.11)
    assert bucket.allow()
    with pytest.raises(ValueError, match="qps 0"):
        TokenBucket(0, 1)


def test_all_keys_together_are_limited_too() -> None:
    """A thousand keys that fail at once: the per-key backoff alone would allow all of them."""
    clock = FakeClock()
    limiter = MaxOf[int](ItemBackoff[int](), TokenBucket(10, 100, clock))
    waits = [limiter.when(key) for key in range(1000)]
    assert max(waits[:100]) == 0.005
    assert waits[-1] == pytest.approx(90, abs=0.1)


def test_pauses_grow_with_jitter_and_stop_at_the_cap() -> None:
    low = Backoff(0.8, 30, rand=lambda: 0.0)
    assert [low.next() for _ in range(8)] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]
    high = Backoff(0.8, 30, rand=lambda: 1.0)
    assert high.next() == 1.6
    high.reset()
    assert high.next() == 1.6
    assert len({Backoff().next() for _ in range(20)}) > 1


async def test_the_breaker_opens_probes_and_closes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    breaker = Breaker(threshold=2, clock=clock, backoff=Backoff(1.0, 8.0, rand=lambda: 0.0))
    breaker.failure("x")
    breaker.success()
    breaker.failure("x")
    assert not breaker.open
    breaker.failure("x")
    assert breaker.open
    waiting = [asyncio.ensure_future(breaker.admit()) for _ in range(3)]
    await settle()
    assert not any(task.done() for task in waiting)
    clock.advance(1.0)
    await settle()
    assert sum(task.done() for task in waiting) == 1
    breaker.success()
    await settle()
    assert all(task.done() for task in waiting)
    assert len(caplog.records) == 2


async def test_a_pause_ends_when_the_server_is_back() -> None:
    clock = FakeClock()
    breaker = Breaker(threshold=1, clock=clock)
    breaker.failure("x")
    task = asyncio.ensure_future(breaker.pause(30))
    await clock.run_for(2)
    assert not task.done()
    breaker.success()
    await clock.run_for(1.2)
    assert task.done()


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", errors_module.AlreadyExists),
        (410, "Expired", Gone),
        (422, "Invalid", Invalid),
        (504, "Timeout", ServerError),
        (418, "", errors_module.ApiError),
    ],
)
def test_answers_become_the_errors_of_the_tree(status: int, reason: str, kind: type) -> None:
    body = {"kind": "Status", "code": status, "reason": reason, "message": "why"}
    error = errors_module.from_answer(status, json.dumps(body).encode())
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (status, reason, "why")
    assert not isinstance(error, TransportError)


def test_the_wait_a_status_asks_for_is_kept() -> None:
    body = {"kind": "Status", "code": 429, "details": {"retryAfterSeconds": 7}}
    assert errors_module.from_status(body).retry_after == 7


def test_state_log_speaks_once_per_state(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    states = StateLog(logging.getLogger("x"))
    for number in range(5):
        states.failed("k", "doing", ConnectionError(f"port 3{number} refused"))
    states.failed("k", "doing", ConnectionError("no route"))
    states.failed("other", "doing", ConnectionError("no route"))
    states.recovered("k", "fine again")
    states.recovered("k", "fine again")
    assert [r.message for r in caplog.records] == [
        "doing: port 30 refused",
        "doing: no route",
        "doing: no route",
        "fine again",
    ]


def test_paths() -> None:
    assert THINGS.path() == "/apis/example.com/v1/things"
    assert THINGS.path("ns", "a", "status").endswith("/namespaces/ns/things/a/status")
    core = Resource("", "v1", "nodes", "Node", namespaced=False)
    assert core.path("ignored", "n1") == "/api/v1/nodes/n1"
    assert core.api_version == "v1"
    assert str(Key("", "n1")) == "n1"


def test_store_lists_one_namespace() -> None:
    store = Store()
    for namespace in ("a", "b"):
        store.put({"metadata": {"name": "x", "namespace": namespace}})
    assert [o["metadata"]["namespace"] for o in store.list("a")] == ["a"]
    assert len(store.list()) == len(store) == 2
    with pytest.raises(KeyError):
        store.by_index("unknown", "x")
    with pytest.raises(KeyError):
        store.any_order("unknown", "x")


def test_an_index_finds_all_in_order_or_in_any() -> None:
    store = Store({"color": lambda obj: [obj["color"]]})
    objects = [
        {"metadata": {"name": str(number)}, "color": "red" if number % 2 else "blue"}
        for number in (3, 1, 2, 5, 4)
    ]
    for obj in objects:
        store.put(obj)
    assert [obj["metadata"]["name"] for obj in store.by_index("color", "red")] == ["1", "3", "5"]
    assert {obj["metadata"]["name"] for obj in store.any_order("color", "blue")} == {"2", "4"}
    assert store.any_order("color", "green") == []


async def test_long_work_lets_others_run_in_between() -> None:
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(len(taken))
            await asyncio.sleep(0)

    taken: list[int] = []
    async with Running(other()):
        async for some in slices(iter(range(7)), 3):
            taken += some
    assert taken == [*range(7)]
    assert {3, 6} <= set(turns)


async def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(TransportError, match=str(missing)):
        await load_configuration(missing)


async def test_tokens_of_a_kubeconfig_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    config = tmp_path / "config"
    config.write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"tokenFile": str(token)}}],
            }
        )
    )
    configuration = await load_configuration(config)
    assert (await configuration.auth_settings())["BearerToken"]["value"] == "Bearer first"
    token.write_text("second")
    monkeypatch.setattr("llama_operator.runtime.config.REFRESH_SECONDS", 0.0)
    assert (await configuration.auth_settings())["BearerToken"]["value"] == "Bearer second"


def test_compact_shares_strings_and_changes_nothing() -> None:
    text = json.dumps(
        {
            "kind": "Thing",
            "metadata": {"name": "a", "managedFields": [{}], "labels": {"team": "red"}},
            "spec": {"list": [1, 2.5, None, True, "red"], "long": "x" * 200},
        }
    )
    compact = Compact()
    one, two = compact(orjson.loads(text)), compact(orjson.loads(text))
    expected = json.loads(text)
    del expected["metadata"]["managedFields"]
    assert one == two == expected
    assert one["spec"]["list"][4] is two["metadata"]["labels"]["team"]
    assert next(iter(one["spec"])) is next(iter(two["spec"]))


def test_compact_remembers_a_bounded_number_of_values() -> None:
    compact = Compact()
    for number in range(50_000):
        compact({"metadata": {"name": f"n{number}"}})
    assert len(compact._values) <= 20_001


def _encoded(metadata: Mapping[str, object], **rest: object) -> bytes:
    return orjson.dumps({"type": "ADDED", "object": {"metadata": metadata, **rest}})


_FIELDS = [
    {"manager": "a", "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:x": {}}}}},
    {"manager": "b", "fieldsV1": {'k:{"name":"x"}': {"f:y": {}}}, "subresource": "status"},
]


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "a", "managedFields": _FIELDS},
        {"managedFields": _FIELDS, "name": "a"},
        {"annotations": {"x": '"managedFields":[{}]'}, "managedFields": _FIELDS, "name": "a"},
        {"name": "a"},
    ],
)
def test_managed_fields_are_left_out_wherever_they_stand(metadata: dict[str, object]) -> None:
    spec = {"text": '}],"managedFields":[{"a":1}]', "managedFields": [{"mine": True}]}
    wanted = {name: value for name, value in metadata.items() if name != "managedFields"}
    event = loads(_encoded(metadata, spec=spec, status={"a": [{}]}))
    assert event["object"] == {"metadata": wanted, "spec": spec, "status": {"a": [{}]}}


@pytest.mark.parametrize("odd", ["}]", '}],"', "}]},", '"}]', "\\}]}"])
def test_managed_fields_with_brackets_in_their_names_spoil_nothing(odd: str) -> None:
    fields = [{"manager": "a", "fieldsV1": {f"f:{odd}": {"f:z": {}}, "f:q": {}}}]
    for metadata in (
        {"managedFields": fields, "name": "a"},
        {"name": "a", "managedFields": fields},
    ):
        found = loads(_encoded(metadata, spec={"x": 1}))["object"]
        found["metadata"].pop("managedFields", None)
        assert found == {"metadata": {"name": "a"}, "spec": {"x": 1}}


def test_what_is_torn_is_no_object() -> None:
    whole = _encoded({"name": "a", "managedFields": _FIELDS}, spec={})
    for length in range(len(whole)):
        with pytest.raises(ValueError, match=r"JSON|unexpected|EOF|empty"):
            loads(whole[:length])
