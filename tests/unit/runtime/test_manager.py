from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
from tests.unit.runtime.fake_api import FakeApi, Fault
from tests.unit.runtime.helpers import SMALL, SMALL_PATH, THINGS, THINGS_PATH, eventually

from llama_operator.runtime import (
    Api,
    Controller,
    FakeClock,
    Informer,
    Key,
    LeaderElector,
    LeadershipLost,
    Manager,
    Object,
    Result,
    TransportError,
    changed_generation,
    to_controller,
    to_label,
)
from llama_operator.runtime.manager import stop_on_signals


def quick_elector(api: Api, identity: str) -> LeaderElector:
    return LeaderElector(
        api, "ns", "op", identity, lease_duration=1.5, renew_deadline=1.0, retry_period=0.2
    )


class Operator:
    """Copies each Thing's spec into a Small that it controls."""

    def __init__(self, server: FakeApi, *, leader: bool = False, name: str = "op") -> None:
        self.api: Api = server.api(seconds=1.0)
        self.things = Informer(self.api, THINGS)
        self.smalls = Informer(self.api, SMALL)
        self.controller = Controller("things", self.reconcile)
        elector = quick_elector(self.api, name) if leader else None
        self.manager = Manager(
            self.api,
            [self.things, self.smalls],
            [self.controller],
            elector,
            drain_seconds=0.3,
        )
        self.manager.watch(self.things, self.controller, predicate=changed_generation)
        self.manager.watch(self.smalls, self.controller, to_controller(THINGS))
        self.stop = asyncio.Event()
        self.calls: list[Key] = []
        self.before: Callable[[Key], object] = lambda _: None
        self.task: asyncio.Future[None] | None = None

    async def reconcile(self, key: Key) -> Result:
        self.calls.append(key)
        if asyncio.iscoroutine(waiting := self.before(key)):
            await waiting
        thing = self.things.store.get(*key)
        if thing is None:
            return Result()
        have = self.smalls.store.get(*key)
        want = self.render(thing)
        if have is None or have["spec"] != want["spec"]:
            await self.api.apply(SMALL, want, manager="op")
        return Result()

    def render(self, thing: Object) -> Object:
        metadata = thing["metadata"]
        owner = {
            "apiVersion": THINGS.api_version,
            "kind": THINGS.kind,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        return {
            "apiVersion": SMALL.api_version,
            "kind": SMALL.kind,
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "ownerReferences": [owner],
            },
            "spec": thing["spec"],
        }

    def start(self) -> asyncio.Future[None]:
        self.task = asyncio.ensure_future(self.manager.run(self.stop))
        return self.task

    async def end(self) -> None:
        self.stop.set()
        assert self.task
        await asyncio.wait_for(self.task, 5)


def thing(server: FakeApi, name: str, x: int, generation: int = 1) -> None:
    server.put(THINGS_PATH, {"spec": {"x": x}}, name=name, generation=generation)


def copied(server: FakeApi, name: str) -> int | None:
    small = server.get(f"{SMALL_PATH}/{name}")
    return small["spec"]["x"] if small else None


async def test_the_world_is_brought_about_and_kept(server: FakeApi) -> None:
    thing(server, "a", 1)
    operator = Operator(server)
    operator.start()
    await eventually(lambda: copied(server, "a") == 1)
    thing(server, "a", 2, generation=2)
    thing(server, "b", 7)
    await eventually(lambda: (copied(server, "a"), copied(server, "b")) == (2, 7))
    server.remove(f"{SMALL_PATH}/a")
    await eventually(lambda: copied(server, "a") == 2)
    await operator.end()


async def test_nothing_to_do_means_no_writes_also_after_a_restart(server: FakeApi) -> None:
    for number in range(20):
        thing(server, f"t{number}", number)
    for _ in range(2):
        operator = Operator(server)
        operator.start()
        await eventually(lambda: all(copied(server, f"t{n}") == n for n in range(20)))
        await eventually(lambda op=operator: len(op.calls) >= 20)  # type: ignore[misc]
        await asyncio.sleep(0.1)
        assert server.writes == 20
        await operator.end()


async def test_no_reconcile_before_all_caches_are_complete(server: FakeApi) -> None:
    thing(server, "a", 1)
    server.fault = lambda r: Fault(status=500) if "smalls" in r.path else None
    operator = Operator(server)
    operator.start()
    await eventually(lambda: operator.things.synced)
    await asyncio.sleep(0.2)
    assert operator.calls == []
    assert not operator.manager.ready
    server.fault = lambda _: None
    await eventually(lambda: copied(server, "a") == 1)
    assert operator.manager.ready
    await operator.end()


async def test_status_changes_do_not_wake_but_metadata_does(server: FakeApi) -> None:
    thing(server, "a", 1)
    operator = Operator(server)
    operator.start()
    await eventually(lambda: copied(server, "a") == 1)
    await asyncio.sleep(0.1)
    before = len(operator.calls)
    server.put(THINGS_PATH, {"spec": {"x": 1}, "status": {"n": 1}}, name="a", generation=1)
    await asyncio.sleep(0.1)
    assert len(operator.calls) == before
    server.put(THINGS_PATH, {"spec": {"x": 1}}, name="a", generation=1, annotations={"a": "b"})
    await eventually(lambda: len(operator.calls) == before + 1)
    await operator.end()


async def test_shutdown_begins_no_new_work(server: FakeApi) -> None:
    for number in range(40):
        thing(server, f"t{number}", number)
    operator = Operator(server)
    operator.before = lambda _: asyncio.sleep(0.05)
    operator.start()
    await eventually(lambda: len(operator.calls) >= 4)
    begun = len(operator.calls)
    await operator.end()
    assert len(operator.calls) == begun
    assert server.writes == begun


async def test_shutdown_waits_for_running_work_then_closes(server: FakeApi) -> None:
    thing(server, "a", 1)
    operator = Operator(server)
    entered = asyncio.Event()

    async def slowly() -> None:
        entered.set()
        await asyncio.sleep(0.1)

    operator.before = lambda _: slowly()
    operator.start()
    await asyncio.wait_for(entered.wait(), 3)
    await operator.end()
    assert copied(server, "a") == 1
    assert not operator.manager.ready
    with pytest.raises(TransportError):
        await operator.api.get(THINGS, "ns", "a")


async def test_shutdown_does_not_wait_for_ever(
    server: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    thing(server, "a", 1)
    operator = Operator(server)
    entered = asyncio.Event()

    async def stuck() -> None:
        entered.set()
        await asyncio.Event().wait()

    operator.before = lambda _: stuck()
    operator.start()
    await asyncio.wait_for(entered.wait(), 3)
    await operator.end()
    assert [r for r in caplog.records if "did not finish" in r.message]


async def test_the_lease_is_released_after_the_last_write(server: FakeApi) -> None:
    thing(server, "a", 1)
    operator = Operator(server, leader=True)
    entered = asyncio.Event()

    async def slowly() -> None:
        entered.set()
        await asyncio.sleep(0.1)

    operator.before = lambda _: slowly()
    operator.start()
    await asyncio.wait_for(entered.wait(), 3)
    await operator.end()
    writes = [path for method, path, _ in server.requests if method == "PATCH"]
    assert writes[-1].endswith("/leases/op")
    assert f"{SMALL_PATH}/a" in writes
    lease = server.get("/apis/coordination.k8s.io/v1/namespaces/ns/leases/op")
    assert lease and lease["spec"]["holderIdentity"] == ""


async def test_a_standby_is_warm_and_takes_over(server: FakeApi) -> None:
    thing(server, "a", 1)
    first, second = (Operator(server, leader=True, name=name) for name in ("one", "two"))
    first.start()
    await eventually(lambda: copied(server, "a") == 1)
    second.start()
    await eventually(lambda: second.manager.ready)
    await asyncio.sleep(0.3)
    assert second.calls == []
    await first.end()
    thing(server, "a", 2, generation=2)
    await eventually(lambda: copied(server, "a") == 2)
    await second.end()


async def test_a_lost_lease_ends_the_run_and_its_writes(server: FakeApi) -> None:
    thing(server, "a", 1)
    operator = Operator(server, leader=True)
    task = operator.start()
    await eventually(lambda: copied(server, "a") == 1)
    entered = asyncio.Event()

    cancelled = asyncio.Event()

    async def stuck() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    operator.before = lambda _: stuck()
    thing(server, "b", 1)
    await asyncio.wait_for(entered.wait(), 3)
    server.fault = lambda r: Fault(cut=True) if "leases" in r.path else None
    with pytest.raises(LeadershipLost):
        await asyncio.wait_for(task, 5)
    assert cancelled.is_set()
    assert copied(server, "b") is None


async def test_a_helper_that_breaks_ends_the_run_one_that_ends_does_not(server: FakeApi) -> None:
    operator = Operator(server)

    async def short() -> None:
        return

    operator.manager.add(short)
    operator.start()
    await eventually(lambda: operator.manager.ready)
    await asyncio.sleep(0.05)
    assert operator.task and not operator.task.done()
    await operator.end()

    broken = Operator(server)

    async def breaks() -> None:
        await asyncio.sleep(0.05)
        raise RuntimeError("broken")

    broken.manager.add(breaks)
    with pytest.raises(RuntimeError, match="broken"):
        await asyncio.wait_for(broken.start(), 5)


async def test_resync_replays_the_cache_without_requests(server: FakeApi) -> None:
    thing(server, "a", 1)
    operator = Operator(server)
    operator.manager.watch(operator.things, operator.controller, resync=0.1)
    operator.start()
    await eventually(lambda: copied(server, "a") == 1)
    await asyncio.sleep(0.05)
    requests, calls = len(server.requests), len(operator.calls)
    await eventually(lambda: len(operator.calls) >= calls + 3)
    assert len(server.requests) == requests
    await operator.end()


async def test_changes_count_as_one_for_as_long_as_their_key_says(api: Api) -> None:
    clock = FakeClock()
    things, controller = Informer(api, THINGS), Controller("slow", anything, clock=clock)
    Manager(api, [things], [controller]).watch(
        things, controller, after=lambda key: {"few": 1.0, "many": 10.0}[key.name]
    )
    for version in range(3):
        for name in ("few", "many"):
            meta = {"name": name, "namespace": "default", "resourceVersion": str(version)}
            things.upsert({"metadata": meta})
    queue = controller.queue
    seen = []
    for seconds in (0.9, 0.2, 8.8, 0.2):
        clock.advance(seconds)
        seen.append(len(queue))
    assert seen == [0, 1, 1, 2]
    assert [(await queue.get()).name for _ in range(2)] == ["few", "many"]


async def anything(_key: Key) -> Result:
    return Result()


async def test_an_outage_in_mid_convergence_is_survived_quietly(
    server: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(60):
        thing(server, f"t{number}", number)
    started = asyncio.get_running_loop().time()
    count = 0

    def flaky(_: object) -> Fault | None:
        nonlocal count
        count += 1
        away = count > 25 and asyncio.get_running_loop().time() < started + 1.5
        return Fault(cut=away, cut_after_commit=count % 9 == 0)

    server.fault = flaky
    caplog.set_level(logging.WARNING)
    operator = Operator(server)
    operator.start()
    await eventually(lambda: all(copied(server, f"t{n}") == n for n in range(60)), seconds=15)
    assert len([r for r in caplog.records if r.exc_info]) == 0
    await operator.end()


async def test_mapping_to_labels() -> None:
    find = to_label("app")
    assert find({"metadata": {"name": "x", "namespace": "ns", "labels": {"app": "a"}}}) == [
        Key("ns", "a")
    ]
    assert find({"metadata": {"name": "x", "namespace": "ns"}}) == []


async def test_mapping_to_the_controller_minds_kind_and_group() -> None:
    find = to_controller(THINGS)

    def child(**ref: object) -> Object:
        base = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "a", "controller": True}
        return {"metadata": {"name": "x", "namespace": "ns", "ownerReferences": [{**base, **ref}]}}

    assert find(child()) == [Key("ns", "a")]
    assert find(child(apiVersion="example.com/v2")) == [Key("ns", "a")]
    assert find(child(apiVersion="other.com/v1")) == []
    assert find(child(kind="Other")) == []
    assert find(child(controller=False)) == []


async def test_a_signal_sets_the_event() -> None:
    import os
    import signal

    stop = stop_on_signals()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(stop.wait(), 1)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
