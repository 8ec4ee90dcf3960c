"""Servers that claim their GPUs: what is made and goes when, what is missing, what is free."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.builders import (
    H100,
    deployment,
    deployment_view,
    gpu_node,
    node,
    ready_weights,
    resource_slice,
    world,
)
from tests.support.memory import Memory
from tests.support.simulated import edit, settle
from tests.support.simulation import Simulation
from tests.unit.reconcile.test_rollout import Servers, how, told

from llama_operator.planner.devices import slim_slice
from llama_operator.reconcile import claims, devices
from llama_operator.reconcile.actions import Delete
from llama_operator.reconcile.decide import Decision, decide
from llama_operator.reconcile.devices import Devices
from llama_operator.reconcile.holders import holder
from llama_operator.reconcile.snapshot import DeploymentView
from llama_operator.render.devices import KIND

Object = dict[str, Any]
CLASS = "gpu.nvidia.com"
GPU: Object = {"gpu": {"deviceClassName": CLASS}}
EMPTY = gpu_node(gpus=0)


def offered(*counts: int, classes: tuple[str, ...] = (CLASS,), **more: Any) -> Devices:
    """A cluster with so many devices on the nodes n1, n2 and so on."""
    slices = (slim_slice(resource_slice(f"n{n}", each, **more)) for n, each in enumerate(counts, 1))
    return Devices(classes=frozenset(classes), slices=tuple(slices))


def started(there: Devices | None = None, **spec: Any) -> Simulation:
    raw = deployment(**{**GPU, **spec})
    copy = ready_weights(raw)
    copy["metadata"]["namespace"] = "default"
    simulation = Simulation(Memory([raw, copy]), env=world(nodes=(EMPTY,)))
    simulation.devices = there or offered(8)
    return simulation


def made(simulation: Simulation) -> set[str]:
    return {name for kind, name in simulation.memory.objects if kind == KIND}


def named(simulation: Simulation) -> str:
    (claim,) = simulation.memory.objects["Deployment", "web"]["spec"]["template"]["spec"]["resourceClaims"]  # fmt: skip
    return str(claim["resourceClaimTemplateName"])


def condition(simulation: Simulation, kind: str) -> Object:
    status = simulation.memory.objects["LlamaDeployment", "web"]["status"]
    return next(dict(each) for each in status["conditions"] if each["type"] == kind)


# -- what is made, and goes -------------------------------------------------------------------


def test_servers_and_what_they_claim_by() -> None:
    simulation = started()
    settle(simulation)
    assert condition(simulation, "Ready")["status"] == "True"
    assert made(simulation) == {named(simulation)}


def test_another_flag_leaves_it_and_another_count_makes_a_new_one() -> None:
    simulation = started()
    settle(simulation)
    (first,) = made(simulation)
    edit(simulation, engine={"args": ["--seed=1"]})
    settle(simulation)
    assert made(simulation) == {first}
    edit(simulation, gpu={"deviceClassName": CLASS, "product": H100, "count": 2})
    settle(simulation)
    assert made(simulation) == {named(simulation)} != {first}


def test_one_that_was_deleted_by_hand_comes_again() -> None:
    simulation = started()
    settle(simulation)
    (name,) = made(simulation)
    del simulation.memory.objects[KIND, name]
    settle(simulation)
    assert made(simulation) == {name}


def test_it_goes_with_the_class() -> None:
    simulation = started()
    settle(simulation)
    edit(simulation, gpu={"product": H100})
    settle(simulation)
    assert made(simulation) == set()
    spec = simulation.memory.objects["Deployment", "web"]["spec"]["template"]["spec"]
    assert "resourceClaims" not in spec
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_one_of_a_stranger_is_left_alone_and_said() -> None:
    simulation = started()
    settle(simulation)
    (name,) = made(simulation)
    simulation = started()
    theirs = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {},
    }
    simulation.memory.put({**theirs, "metadata": {"name": name, "namespace": "default"}})
    settle(simulation)
    told = condition(simulation, "Degraded")
    assert told["reason"] == "ObjectNotOwned"
    assert name in told["message"]
    assert simulation.memory.objects[KIND, name]["spec"] == {}
    assert ("Deployment", "web") not in simulation.memory.objects


class Claiming(Servers):
    """Servers that claim their GPUs, of a driver with so many of them."""

    def __init__(self, replicas: int, gpus: int, there: Devices | None = None) -> None:
        self.there = there or offered(gpus)
        super().__init__(replicas, gpus, **GPU)
        self.nodes = (EMPTY,)

    def view(self, **change: Any) -> DeploymentView:
        change.setdefault("world", world(nodes=(EMPTY,)))
        return super().view(devices=self.there, **change)

    def _holder(self, pod: Object) -> Any:
        return replace(super()._holder(pod), amounts={CLASS: Decimal(1)})

    @property
    def templates(self) -> set[str]:
        return {each["metadata"]["name"] for each in self.children if each["kind"] == KIND}


def gone(decision: Decision) -> set[str]:
    deletions = (each for each in decision.actions if isinstance(each, Delete))
    return {each.name for each in deletions if each.kind == KIND}


def test_an_old_one_stays_while_a_pod_of_its_template_does() -> None:
    servers = Claiming(1, 4)
    (old,) = servers.templates
    two: Object = {"gpu": {"deviceClassName": CLASS, "count": 2}}
    servers.spec = {**servers.spec, **two}
    decision = decide(servers.view())
    assert gone(decision) == set()
    servers.roll(decision)
    assert old in servers.templates
    servers.pods.append(servers.pod("new"))
    assert gone(decide(servers.view())) == set()
    old_pod = servers.pods[0]
    ends = {**old_pod["metadata"], "deletionTimestamp": "2026-01-01T12:00:00Z"}
    servers.pods[0] = {**old_pod, "metadata": ends}
    assert gone(decide(servers.view())) == {old}, "what ends has its claim, and gets no other"
    servers.pods = servers.pods[1:]
    assert gone(decide(servers.view())) == {old}


# -- what is missing --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (Devices(served=False), "does not serve resource.k8s.io/v1; upgrade it to Kubernetes 1.34"),
        (Devices(), f"there is no DeviceClass {CLASS}; install the driver"),
        (offered(8, classes=("b", "a")), "name one that is there (a, b)"),
    ],
)
def test_what_is_missing_is_said_with_the_way_out(there: Devices, words: str) -> None:
    simulation = started(there)
    settle(simulation)
    told = condition(simulation, "Degraded")
    assert told["reason"] == "DependencyMissing"
    assert told["message"].startswith("spec.gpu.deviceClassName: ")
    assert words in told["message"]
    assert ("Deployment", "web") not in simulation.memory.objects
    simulation.devices = offered(8)
    settle(simulation)
    assert condition(simulation, "Ready")["status"] == "True"


def test_the_missing_class_is_said_before_a_product_that_is_not_known() -> None:
    simulation = started(Devices(), gpu={"deviceClassName": CLASS, "product": ""})
    simulation.env = world(nodes=(unlabelled(),))
    settle(simulation)
    assert condition(simulation, "Planned")["reason"] == "GPUUnknown"
    assert condition(simulation, "Degraded")["reason"] == "DependencyMissing"


def test_what_is_not_known_yet_holds_nothing_up() -> None:
    view = deployment_view(deployment(**GPU), devices=None)
    assert claims.problem(view, None) is None


def test_what_serves_goes_on_when_its_class_goes() -> None:
    simulation = started()
    settle(simulation)
    before = simulation.memory.objects["Deployment", "web"]
    simulation.devices = Devices()
    edit(simulation, engine={"args": ["--seed=1"]})
    settle(simulation)
    assert simulation.memory.objects["Deployment", "web"] == before
    assert condition(simulation, "Degraded")["reason"] == "DependencyMissing"


# -- what GPUs there are ----------------------------------------------------------------------


def judged(there: Devices | None, *nodes: Object, **gpu: Any) -> Object:
    spec: Object = {"gpu": {"product": "", "deviceClassName": CLASS, **gpu}}
    raw = deployment(model="llama-3.1-70b-instruct", **spec)
    view = deployment_view(raw, devices=there, world=world(nodes=nodes or (EMPTY,)))
    found = decide(view).judgement
    return {
        "plan": found.plan,
        "message": found.condition.message,
        "reason": found.condition.reason,
    }


def unlabelled(name: str = "n1") -> Object:
    return {"metadata": {"name": name, "labels": {}}}


def test_a_plan_is_made_for_what_the_driver_tells() -> None:
    plan = judged(offered(8), unlabelled())["plan"]
    assert plan.gpu_product == H100
    assert judged(offered(8, product="NVIDIA L4"), unlabelled())["plan"].gpu_product == "NVIDIA-L4"


def test_devices_count_and_not_labels() -> None:
    two = judged(offered(2, product="NVIDIA L4"), unlabelled(), count=4)
    assert two["plan"] is None or two["plan"].nodes > 1
    assert judged(offered(4, product="NVIDIA L40S"), unlabelled(), count=4)["plan"].nodes == 1
    other = judged(offered(0, 8), node(), unlabelled("n2"))
    assert other["plan"].gpu_product == H100


def test_of_a_class_with_another_name_nodes_tell() -> None:
    there = offered(8, classes=("fast",), driver=CLASS)
    found = judged(there, unlabelled(), deviceClassName="fast")
    assert found["reason"] == "GPUUnknown"
    assert "no ResourceSlice of a driver fast" in found["message"]
    assert judged(there, node(), deviceClassName="fast")["plan"].gpu_product == H100


# -- what is free -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "gpus", "wanted", "strategy", "free"),
    [(2, 2, (0, 1), "InPlace", 0), (2, 3, (1, 0), "Surge", 1), (1, 1, (0, "100%"), "Swap", 0)],
)
def test_free_devices_decide_on_a_rollout(
    replicas: int, gpus: int, wanted: tuple[Any, Any], strategy: str, free: int
) -> None:
    servers = Claiming(replicas, gpus)
    servers.spec = {**servers.spec, "engine": {"args": ["--seed=1"]}}
    decision = decide(servers.view())
    assert how(decision) == wanted
    said = told(servers, decision)["rollout"]
    assert (said["strategy"], said["freeGPUs"]) == (strategy, free)


def test_of_a_class_whose_devices_are_not_known_none_is_counted() -> None:
    servers = Claiming(2, 2, offered(2, driver="other.example.com"))
    servers.spec = {**servers.spec, "engine": {"args": ["--seed=1"]}}
    decision = decide(servers.view())
    assert how(decision) == (1, 0)
    assert "freeGPUs" not in told(servers, decision)["rollout"]


def claim(pods: tuple[str, ...], *drivers: str, **result: Any) -> Object:
    results = [{"driver": each, "pool": "n1", "device": "gpu-0", **result} for each in drivers]
    return {
        "metadata": {"name": "c", "namespace": "default"},
        "status": {
            "allocation": {"devices": {"results": results}},
            "reservedFor": [{"resource": "pods", "name": each, "uid": each} for each in pods],
        },
    }


def test_a_pod_holds_what_was_claimed_for_it() -> None:
    found = devices.by_pod(map(devices.claimed, [claim(("a",), CLASS, CLASS, "dra.net")]))
    assert found == {("default", "a"): {CLASS: Decimal(2), "dra.net": Decimal(1)}}
    pod = {"metadata": {"name": "a", "namespace": "default"}, "spec": {"nodeName": "n1"}}
    assert holder(pod, found).amounts[CLASS] == 2
    assert CLASS not in holder({**pod, "metadata": {"name": "b"}}, found).amounts


def test_what_is_shared_counts_once_and_what_an_administrator_looks_at_never() -> None:
    shared = devices.by_pod([devices.claimed(claim(("a", "b"), CLASS))])
    assert sum(each.get(CLASS, Decimal(0)) for each in shared.values()) == 1
    assert not devices.by_pod([devices.claimed(claim(("a",), CLASS, adminAccess=True))])[("default", "a")]  # fmt: skip
    waiting = {"metadata": {"name": "c", "namespace": "default"}}
    assert devices.by_pod([devices.claimed(waiting)]) == {}
