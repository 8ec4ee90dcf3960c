"""The runtime against a real API server and etcd: what the fake server cannot vouch for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.support.builders import deployment
from tests.support.cluster import Cluster
from tests.support.stack import Stack

from llama_operator.reconcile.resources import DEPLOYMENTS
from llama_operator.runtime import (
    EVENTS,
    LEASES,
    AlreadyExists,
    Api,
    Conflict,
    Controller,
    EventRecorder,
    Forbidden,
    Gone,
    Informer,
    Invalid,
    Key,
    LeaderElector,
    Manager,
    NotFound,
    Object,
    Resource,
    Result,
    load_configuration,
    owner_uids,
    to_controller,
)

pytestmark = pytest.mark.cluster

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
SELECTOR = "test=runtime"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.control_plane(tmp_path_factory.mktemp("cluster") / "state") as running:
        yield running


@pytest_asyncio.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    client = Api(await load_configuration(cluster.kubeconfig), seconds=5.0)
    yield client
    await client.close()


@pytest_asyncio.fixture
async def namespace(api: Api, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[:60].strip("-")
    await api.create(NAMESPACES, {"metadata": {"name": name}})
    return str(name)


def config_map(namespace: str, name: str, **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {"test": "runtime"}},
        "data": data,
    }


async def eventually(check: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not check():
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(informer: Informer) -> AsyncIterator[None]:
    task = asyncio.ensure_future(informer.run())
    try:
        await asyncio.wait_for(informer.wait_synced(), 60)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_apply_owns_its_fields_only_and_repeats_are_no_change(
    api: Api, namespace: str
) -> None:
    first = await api.apply(CONFIG_MAPS, config_map(namespace, "a", x="1"), manager="one")
    await api.patch(CONFIG_MAPS, namespace, "a", {"data": {"y": "2"}}, manager="two")
    second = await api.apply(CONFIG_MAPS, config_map(namespace, "a", x="1"), manager="one")
    third = await api.apply(CONFIG_MAPS, config_map(namespace, "a", x="1"), manager="one")
    assert second["data"] == {"x": "1", "y": "2"}
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert third["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    with pytest.raises(Conflict, match="two"):
        await api.apply(CONFIG_MAPS, config_map(namespace, "a", y="3"), manager="one", force=False)


async def test_a_brief_answer_is_the_metadata_alone_of_built_in_and_custom_kinds(
    cluster: Cluster, api: Api, namespace: str
) -> None:
    Stack(cluster).install()
    raw = deployment("brief")
    raw["metadata"] = {"name": "brief", "namespace": namespace}
    map_ = config_map(namespace, "brief", x="1")
    for kind, obj in ((CONFIG_MAPS, map_), (DEPLOYMENTS, raw)):
        made = await api.apply(kind, obj, manager="one", brief=True)
        assert set(made) == {"apiVersion", "kind", "metadata"}
        assert made["kind"] == "PartialObjectMetadata"
        live = (await api.get(kind, namespace, "brief"))["metadata"]
        assert live.pop("managedFields")
        assert made["metadata"] == live
    status = {"apiVersion": raw["apiVersion"], "kind": raw["kind"], "metadata": raw["metadata"]}
    status |= {"status": {"observedGeneration": 1}}
    made = await api.apply(DEPLOYMENTS, status, manager="two", subresource="status", brief=True)
    assert made["metadata"]["resourceVersion"] != live["resourceVersion"]


async def test_preconditions_and_errors_are_the_servers(api: Api, namespace: str) -> None:
    made = await api.create(CONFIG_MAPS, config_map(namespace, "a", x="1"))
    with pytest.raises(AlreadyExists):
        await api.create(CONFIG_MAPS, config_map(namespace, "a"))
    dead = config_map(namespace, "a", x="2")
    dead["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(Invalid, match=r"metadata\.uid"):
        await api.apply(CONFIG_MAPS, dead, manager="me")
    dead["metadata"]["name"] = "gone"
    with pytest.raises(Conflict, match="uid mismatch"):
        await api.apply(CONFIG_MAPS, dead, manager="me")
    with pytest.raises(Conflict):
        await api.delete(CONFIG_MAPS, namespace, "a", uid="00000000-0000-0000-0000-000000000000")
    stale = {"metadata": {"resourceVersion": "1"}, "data": {"x": "3"}}
    with pytest.raises(Conflict):
        await api.patch(CONFIG_MAPS, namespace, "a", stale)
    with pytest.raises(Invalid) as caught:
        await api.patch(CONFIG_MAPS, namespace, "a", {"data": {"not a key!": "x"}})
    assert caught.value.causes[0]["field"].startswith("data")
    test = [{"op": "test", "path": "/data/x", "value": "1"}]
    add = [{"op": "add", "path": "/data/z", "value": "9"}]
    patched = await api.patch(CONFIG_MAPS, namespace, "a", test + add, kind="json")
    assert patched["data"]["z"] == "9"
    await api.delete(CONFIG_MAPS, namespace, "a", uid=made["metadata"]["uid"])
    with pytest.raises(NotFound):
        await api.get(CONFIG_MAPS, namespace, "a")
    assert await api.served(CONFIG_MAPS)
    assert not await api.served(Resource("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject"))


async def test_pages_and_streams_agree(api: Api, namespace: str) -> None:
    await asyncio.gather(
        *(api.create(CONFIG_MAPS, config_map(namespace, f"c{n:04}")) for n in range(620))
    )
    listed = await api.list(CONFIG_MAPS, namespace, label_selector=SELECTOR)
    streamed = Informer(api, CONFIG_MAPS, namespace=namespace, label_selector=SELECTOR)
    paged = Informer(api, CONFIG_MAPS, namespace=namespace, label_selector=SELECTOR)
    paged._reflector._use_watch_list = False
    async with running(streamed), running(paged):
        names = {obj["metadata"]["name"] for obj in listed}
        assert len(names) == 620
        for informer in (streamed, paged):
            assert {key.name for key in informer.store.keys()} == names  # noqa: SIM118
            sample = informer.store.get(namespace, "c0007")
            assert sample and sample["kind"] == "ConfigMap"
            assert "managedFields" not in sample["metadata"]
        await api.delete(CONFIG_MAPS, namespace, "c0000")
        await api.patch(CONFIG_MAPS, namespace, "c0001", {"data": {"k": "v"}})
        for informer in (streamed, paged):
            await eventually(lambda i=informer: i.store.get(namespace, "c0000") is None)  # type: ignore[misc]
            await eventually(
                lambda i=informer: i.store.get(namespace, "c0001").get("data")  # type: ignore[misc]
            )


async def test_an_object_that_leaves_the_selector_is_deleted(api: Api, namespace: str) -> None:
    await api.create(CONFIG_MAPS, config_map(namespace, "a"))
    informer = Informer(api, CONFIG_MAPS, namespace=namespace, label_selector=SELECTOR)
    seen: list[str] = []
    informer.add_handler(lambda event, *_: seen.append(event))
    async with running(informer):
        patch = {"metadata": {"labels": {"test": None}}}
        await api.patch(CONFIG_MAPS, namespace, "a", patch)
        await eventually(lambda: seen == ["add", "delete"])


class Copier:
    """ConfigMap -> Secret of the same name, the smallest operator there is."""

    def __init__(self, api: Api, namespace: str, elector: LeaderElector | None = None) -> None:
        self.api = api
        options: dict[str, Any] = {"namespace": namespace, "label_selector": SELECTOR}
        self.sources = Informer(api, CONFIG_MAPS, **options)
        self.copies = Informer(api, SECRETS, indexes={"owner": owner_uids}, **options)
        self.controller = Controller("copier", self.reconcile)
        self.manager = Manager(api, [self.sources, self.copies], [self.controller], elector)
        self.manager.watch(self.sources, self.controller)
        self.manager.watch(self.copies, self.controller, to_controller(CONFIG_MAPS))
        self.writes = 0
        self.stop = asyncio.Event()
        self.task = asyncio.ensure_future(self.manager.run(self.stop))

    async def reconcile(self, key: Key) -> Result:
        source = self.sources.store.get(*key)
        if source is None or source["metadata"].get("deletionTimestamp"):
            return Result()
        copy = self.copies.store.get(*key)
        value = source["data"]["v"]
        if copy is None or (copy["metadata"].get("annotations") or {}).get("v") != value:
            await self.api.apply(SECRETS, self.render(source, value), manager="copier")
            self.writes += 1
        return Result()

    def render(self, source: Object, value: str) -> Object:
        metadata = source["metadata"]
        owner = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "labels": {"test": "runtime"},
                "annotations": {"v": value},
                "ownerReferences": [owner],
            },
            "stringData": {"v": value},
        }

    async def close(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, 15)


async def fresh(cluster: Cluster) -> Api:
    return Api(await load_configuration(cluster.kubeconfig), seconds=5.0)


async def test_convergence_repair_and_a_restart_without_writes(
    cluster: Cluster, api: Api, namespace: str
) -> None:
    await asyncio.gather(
        *(api.create(CONFIG_MAPS, config_map(namespace, f"c{n}", v=str(n))) for n in range(200))
    )
    operator = Copier(await fresh(cluster), namespace)
    await eventually(lambda: len(operator.copies.store) == 200)
    await api.delete(SECRETS, namespace, "c7")
    await api.patch(CONFIG_MAPS, namespace, "c8", {"data": {"v": "new"}})
    await eventually(lambda: operator.writes == 202)
    await asyncio.sleep(0.5)
    assert operator.writes == 202
    await operator.close()

    copies = await api.list(SECRETS, namespace, label_selector=SELECTOR)
    annotations = {o["metadata"]["name"]: o["metadata"]["annotations"]["v"] for o in copies}
    assert len(annotations) == 200
    assert (annotations["c7"], annotations["c8"]) == ("7", "new")

    again = Copier(await fresh(cluster), namespace)
    await eventually(lambda: again.manager.ready)
    await asyncio.sleep(0.5)
    assert again.writes == 0
    await again.close()
    after = await api.list(SECRETS, namespace, label_selector=SELECTOR)
    assert [o["metadata"]["resourceVersion"] for o in after] == [
        o["metadata"]["resourceVersion"] for o in copies
    ]


def restart(cluster: Cluster, name: str) -> None:
    kill(cluster, name)
    cluster.processes.start(cluster.processes.command(name))


def kill(cluster: Cluster, name: str) -> None:
    cluster.processes.signal(name, signal.SIGKILL)


@pytest.mark.parametrize("victim", ["kube-apiserver", "etcd"])
async def test_kill_9_in_mid_convergence(
    cluster: Cluster, namespace: str, victim: str, caplog: pytest.LogCaptureFixture
) -> None:
    setup = await fresh(cluster)
    await asyncio.gather(
        *(setup.create(CONFIG_MAPS, config_map(namespace, f"c{n}", v=str(n))) for n in range(600))
    )
    caplog.set_level(logging.WARNING)
    operator = Copier(await fresh(cluster), namespace)
    await eventually(lambda: operator.writes > 100)
    kill(cluster, victim)
    await asyncio.sleep(2)
    assert operator.writes < 600
    cluster.processes.start(cluster.processes.command(victim))
    await eventually(lambda: len(operator.copies.store) == 600, seconds=90)
    await operator.close()
    await setup.close()

    check = await fresh(cluster)
    copies = await check.list(SECRETS, namespace, label_selector=SELECTOR)
    assert {o["metadata"]["annotations"]["v"] for o in copies} == {str(n) for n in range(600)}
    await check.close()
    ours = [r for r in caplog.records if r.name.startswith("llama_operator")]
    assert not [r for r in ours if r.exc_info]
    assert len(ours) <= 25, [r.message for r in ours]


async def test_a_version_from_before_the_servers_memory_is_gone(
    cluster: Cluster, namespace: str
) -> None:
    setup = await fresh(cluster)
    await setup.create(CONFIG_MAPS, config_map(namespace, "a"))
    restart(cluster, "kube-apiserver")
    api = await fresh(cluster)
    informer = Informer(api, CONFIG_MAPS, namespace=namespace)
    async with running(informer):
        with pytest.raises(Gone):
            async for _ in api.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=5):
                pass
    await api.close()
    await setup.close()


async def test_leaders_take_turns(cluster: Cluster, api: Api, namespace: str) -> None:
    def elector(client: Api, name: str) -> LeaderElector:
        return LeaderElector(
            client, namespace, "op", name, lease_duration=3, renew_deadline=2, retry_period=0.5
        )

    await api.create(CONFIG_MAPS, config_map(namespace, "a", v="1"))
    clients = [await fresh(cluster) for _ in range(2)]
    first = Copier(clients[0], namespace, elector(clients[0], "first"))
    await eventually(lambda: first.writes == 1)
    second = Copier(clients[1], namespace, elector(clients[1], "second"))
    await eventually(lambda: second.manager.ready)
    await api.patch(CONFIG_MAPS, namespace, "a", {"data": {"v": "2"}})
    await eventually(lambda: first.writes == 2)
    assert second.writes == 0
    await first.close()
    await api.patch(CONFIG_MAPS, namespace, "a", {"data": {"v": "3"}})
    await eventually(lambda: second.writes == 1)
    lease = await api.get(LEASES, namespace, "op")
    assert lease["spec"]["holderIdentity"] == "second"
    assert lease["spec"]["leaseTransitions"] == 1
    await second.close()
    assert (await api.get(LEASES, namespace, "op"))["spec"]["holderIdentity"] == ""


STANDBY = """
import asyncio, sys
from llama_operator.runtime import Api, LeaderElector, NotLeader, Resource, load_configuration

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")

async def main(kubeconfig, namespace):
    api = Api(await load_configuration(kubeconfig), seconds=2.0)
    elector = LeaderElector(api, namespace, "op", "stopped",
                            lease_duration=3, renew_deadline=2, retry_period=0.5)
    api.fence = elector.check
    task = asyncio.ensure_future(elector.run())
    await elector.wait_leading()
    count = 0
    while not task.done():
        try:
            await api.patch(CONFIG_MAPS, namespace, "w", {"data": {"by": "stopped"}})
        except NotLeader:
            print("fenced", flush=True)
            break
        count += 1
        print("wrote", count, flush=True)
        await asyncio.sleep(0.05)
    await asyncio.gather(task, return_exceptions=True)
    print("ended", flush=True)
    await api.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_leader_stopped_beyond_its_lease_does_not_write_again(
    cluster: Cluster, api: Api, namespace: str, tmp_path: Path
) -> None:
    """SIGSTOP the leader, let another lead and write, SIGCONT: nothing of the old one lands."""
    await api.create(CONFIG_MAPS, config_map(namespace, "w", by="no one"))
    script = tmp_path / "leader.py"
    script.write_text(STANDBY)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        str(cluster.kubeconfig),
        namespace,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    assert (await asyncio.wait_for(process.stdout.readline(), 20)).startswith(b"wrote")
    process.send_signal(signal.SIGSTOP)
    elector = LeaderElector(
        api, namespace, "op", "next", lease_duration=3, renew_deadline=2, retry_period=0.5
    )
    leading = asyncio.ensure_future(elector.run())
    await asyncio.wait_for(elector.wait_leading(), 15)
    mine = await api.patch(CONFIG_MAPS, namespace, "w", {"data": {"by": "next"}})
    process.send_signal(signal.SIGCONT)
    rest = await asyncio.wait_for(process.stdout.read(), 20)
    assert rest.rstrip().endswith(b"ended")
    now = await api.get(CONFIG_MAPS, namespace, "w")
    assert now["metadata"]["resourceVersion"] == mine["metadata"]["resourceVersion"]
    leading.cancel()
    await elector.release()
    await process.wait()


async def test_events_are_accepted_and_counted(api: Api, namespace: str) -> None:
    obj = await api.create(CONFIG_MAPS, config_map(namespace, "a"))
    recorder = EventRecorder(api, "example.com/operator")
    task = asyncio.ensure_future(recorder.run())
    for _ in range(3):
        recorder.event(obj, "Warning", "TooSmall", "Planning", "needs 2 GPUs")
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    events = await api.list(EVENTS, namespace)
    assert len(events) == 1
    assert events[0]["regarding"]["uid"] == obj["metadata"]["uid"]
    assert events[0]["series"]["count"] == 3
    assert recorder.dropped == 0


async def test_a_service_account_may_do_what_it_is_granted_only(
    cluster: Cluster, api: Api, namespace: str
) -> None:
    cluster.kubectl("create", "serviceaccount", "weak", "-n", namespace)
    path = cluster.service_account_kubeconfig(namespace, "weak")
    weak = Api(await load_configuration(path))
    with pytest.raises(Forbidden, match="cannot list resource"):
        await weak.list(CONFIG_MAPS, namespace)
    await weak.close()
