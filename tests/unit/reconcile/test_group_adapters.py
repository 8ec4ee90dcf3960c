"""Adapters of servers over several nodes: the first rank of each group loads for all of its ranks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.builders import deployment, gpu_node, world
from tests.support.memory import Memory
from tests.support.simulated import edit
from tests.support.simulation import Simulation
from tests.unit.reconcile.played_kubelets import Kubelets
from tests.unit.reconcile.test_adapters import ROOM, SQL
from tests.unit.reconcile.test_groups import NODES, ONE, SHARED, TWO
from tests.unit.runtime.fake_api import FakeApi

from llama_operator.reconcile.caches import Caches, slim_node
from llama_operator.reconcile.gather import Gatherer
from llama_operator.reconcile.snapshot import DeploymentView
from llama_operator.runtime import Api

Object = dict[str, Any]
VOLUME = ("PersistentVolumeClaim", "web-adapters")
PLACE = "web/" + "a" * 16


def started(sizing: Object = TWO, **spec: Any) -> Simulation:
    raw = deployment(sizing=sizing, storage=SHARED, replicas=2, **{"lora": ROOM, **spec})
    simulation = Simulation(Memory([raw]), env=world(nodes=NODES, lws=("v1",)))
    simulation.settle(rounds=20)
    return simulation


def rows(simulation: Simulation) -> list[tuple[str, int]]:
    told = simulation.memory.objects["LlamaDeployment", "web"]["status"]["adapters"]
    return [(row["name"], row["readyReplicas"]) for row in told]


def listed(simulation: Simulation) -> set[str]:
    found = simulation.memory.objects["ConfigMap", "web-adapters"]["data"]["adapters.json"]
    return set(json.loads(found))


def test_an_adapter_is_counted_once_for_each_group() -> None:
    simulation = started(adapters=[SQL])
    assert rows(simulation) == [("sql", 2)]
    assert listed(simulation) == {"sql"}


def test_adapters_of_groups_come_and_go_without_a_restart() -> None:
    simulation = started()
    before = simulation.memory.objects["LeaderWorkerSet", "web"]["spec"]
    for adapters in ([SQL], []):
        edit(simulation, adapters=adapters)
        simulation.settle(rounds=20)
        assert listed(simulation) == {each["name"] for each in adapters}
        assert simulation.memory.objects["LeaderWorkerSet", "web"]["spec"] == before
    assert not [kind for kind, name in simulation.memory.objects if "adapter-" in name]


def test_the_volume_goes_once_no_group_mounts_it() -> None:
    simulation = started(adapters=[SQL])
    edit(simulation, lora={}, adapters=[])
    simulation.serve()
    assert VOLUME in simulation.memory.objects, "groups of the old template mount it"
    simulation.settle(rounds=20)
    assert VOLUME not in simulation.memory.objects


def test_the_volume_stays_while_what_is_left_of_another_kind_mounts_it() -> None:
    """From one node to several, and no adapters any more, in one change."""
    simulation = started(ONE, adapters=[SQL], rollout={"strategy": "Surge"})
    edit(simulation, sizing=TWO, lora={}, adapters=[])
    while ("Deployment", "web") in simulation.memory.objects:
        assert VOLUME in simulation.memory.objects
        before = simulation.memory.picture()
        simulation.serve()
        simulation.serve()  # the groups are there, and nobody has counted them yet
        simulation.play()
        assert simulation.memory.picture() != before, "stuck"
    simulation.settle(rounds=20)
    assert VOLUME not in simulation.memory.objects


@pytest.fixture
def groups() -> Simulation:
    return started(adapters=[SQL])


async def test_first_ranks_alone_are_asked_what_they_have_loaded(
    groups: Simulation, api: Api, server: FakeApi
) -> None:
    said = json.dumps({"loaded": {"sql": PLACE}, "failed": {}})
    kubelets = Kubelets(server, f"INFO llama_adapters: {said}\n".encode())
    view = await looked(api, groups)
    assert sorted(pod["metadata"]["name"] for pod in view.followed) == ["web-0", "web-1"]
    assert {each["pod"] for each in kubelets.asked} == {"web-0", "web-1"}
    assert len(view.loaded) == 2


async def looked(api: Api, simulation: Simulation) -> DeploymentView:
    """What a real look at the same world sees."""
    caches, env = Caches(api), simulation.env
    objects = simulation.memory.objects
    caches.nodes.store.put(slim_node(gpu_node("n0", 4)))
    for (kind, _), obj in objects.items():
        if kind in caches.children:
            caches.children[kind].store.put(obj)
        elif kind == "LlamaWeights":
            caches.weights.store.put(obj)
        elif kind == "Pod":
            caches.pods.store.put(running(obj))
    raw = objects["LlamaDeployment", "web"]
    # Else it is believed, and nobody is asked.
    raw = {**raw, "status": {**raw["status"], "adapters": []}}
    return await Gatherer(api, caches, env.catalog, env.settings, api.clock).deployment(raw)


def running(pod: Object) -> Object:
    box = {"name": "engine", "ready": True, "started": True, "state": {"running": {}}}
    return {**pod, "status": {**pod["status"], "containerStatuses": [box]}}
