"""Pods of the whole cluster are read when a rollout begins, and at no other time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.builders import deployment, gpu_node, merged, ready_weights, world
from tests.unit.reconcile.test_rollout import Servers
from tests.unit.runtime.fake_api import FakeApi, Fault

from llama_operator.api import labels
from llama_operator.reconcile.caches import Caches, slim_node
from llama_operator.reconcile.decide import decide
from llama_operator.reconcile.gather import Gatherer
from llama_operator.reconcile.snapshot import DeploymentView
from llama_operator.runtime import Api

Object = dict[str, Any]
NO_KEY: Object = {"auth": {"mode": "None"}}
EDITED: Object = {"engine": {"args": ["--seed=1"]}, **NO_KEY}
OURS: Object = {"metadata": {"namespace": "default", "labels": {labels.DEPLOYMENT: "web"}}}
PODS = "/api/v1/pods"


async def looked(api: Api, servers: Servers, **spec: Any) -> DeploymentView:
    caches, env = Caches(api), world()
    raw = deployment(**spec)
    caches.weights.store.put({**ready_weights(raw)})
    caches.nodes.store.put(slim_node(gpu_node(gpus=2)))
    for obj in servers.children:
        caches.children[obj["kind"]].store.put(obj)
    for pod in servers.pods:
        caches.pods.store.put(merged(pod, OURS))
    return await Gatherer(api, caches, env.catalog, env.settings, api.clock).deployment(raw)


def lists(server: FakeApi) -> list[dict[str, str]]:
    return [query for _, path, query in server.requests if path == PODS]


def stranger(node: str) -> Object:
    asked = {"resources": {"requests": {"nvidia.com/gpu": "2"}}}
    return {"spec": {"nodeName": node, "containers": [asked]}, "status": {"phase": "Running"}}


async def test_as_long_as_nothing_is_to_roll_nothing_is_read(api: Api, server: FakeApi) -> None:
    view = await looked(api, Servers(1, 1, **NO_KEY), **NO_KEY)
    assert (view.holders, lists(server)) == (None, [])


async def test_a_rollout_that_begins_reads_who_holds_what(api: Api, server: FakeApi) -> None:
    server.put("/api/v1/namespaces/other/pods", stranger("n1"), name="trainer")
    view = await looked(api, Servers(1, 1, **NO_KEY), **EDITED)
    (query,) = lists(server)
    assert "spec.nodeName!=" in query["fieldSelector"]
    assert view.holders is not None
    assert [(each.node, each.namespace) for each in view.holders] == [("n1", "other")]
    course = decide(view).course
    assert course is not None
    assert course.record is not None
    assert (course.record.strategy, course.record.free) == ("Swap", 0)


async def test_one_that_is_under_way_reads_nothing_more(api: Api, server: FakeApi) -> None:
    servers = Servers(1, 1, **NO_KEY)
    servers.spec |= EDITED
    servers.roll(decide(servers.view()))
    assert (await looked(api, servers, **EDITED)).holders is None
    assert lists(server) == []


async def test_who_may_not_read_the_pods_of_others_tries(api: Api, server: FakeApi) -> None:
    server.fault = lambda request: Fault(status=403) if request.path == PODS else None
    servers = Servers(1, 1, **NO_KEY)
    view = await looked(api, servers, **EDITED)
    assert (view.holders, len(lists(server))) == (None, 1)
    course = decide(replace(view, pods=tuple(servers.pods))).course
    assert course is not None
    assert course.record is not None
    assert "could not be counted" in course.record.reason


def test_of_a_node_the_cache_keeps_what_decides() -> None:
    node = gpu_node(spec={"podCIDR": "10.0.0.0/24", "taints": [{"key": "a"}]})
    node["status"]["images"] = [{"names": ["x"]}] * 50
    kept = slim_node(node)
    assert kept["spec"] == {"taints": [{"key": "a"}]}
    assert set(kept["status"]) == {"allocatable"}
