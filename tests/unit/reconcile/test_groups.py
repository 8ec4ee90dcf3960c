"""Servers over several nodes: how they are made, counted, replaced, and go back to one node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import deployment, deployment_view, gpu_node, ready_weights, world
from tests.support.memory import Memory
from tests.support.simulated import edit, settle
from tests.support.simulation import Simulation

from llama_operator.api import labels
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import capacity, decide, groups, stalls
from llama_operator.reconcile.holders import holder
from llama_operator.reconcile.snapshot import Start

Object = dict[str, Any]
SHARED = {"accessModes": ["ReadWriteMany"]}
TWO = {"nodes": 2, "tensorParallel": 8}
ONE = {"nodes": 1, "tensorParallel": 4}
NODES = tuple(gpu_node(f"n{number}", 4) for number in range(4))
SETS = ("Deployment", "LeaderWorkerSet")


def started(sizing: Object = TWO, lws: Any = ("v1",), **spec: Any) -> Simulation:
    raw = deployment(sizing=sizing, storage=SHARED, **spec)
    copy = ready_weights(raw)
    copy["spec"]["storage"] = SHARED
    copy["metadata"]["namespace"] = "default"
    return Simulation(Memory([raw, copy]), env=world(nodes=NODES, lws=lws))


def there(simulation: Simulation) -> set[str]:
    return {kind for kind, name in simulation.memory.objects if name == "web" and kind in SETS}


def condition(simulation: Simulation, kind: str) -> Object:
    status = simulation.memory.objects["LlamaDeployment", "web"]["status"]
    return next(dict(each) for each in status["conditions"] if each["type"] == kind)


def test_one_set_of_groups_is_made_and_counted_by_its_groups() -> None:
    simulation = started(replicas=2)
    settle(simulation)
    assert there(simulation) == {"LeaderWorkerSet"}
    made = simulation.memory.objects["LeaderWorkerSet", "web"]["spec"]
    assert (made["replicas"], made["leaderWorkerTemplate"]["size"]) == (2, 2)
    status = simulation.memory.objects["LlamaDeployment", "web"]["status"]
    assert [status[n] for n in ("replicas", "readyReplicas", "updatedReplicas")] == [2, 2, 2]
    assert condition(simulation, "Ready")["status"] == "True"


@pytest.mark.parametrize(
    ("served", "words"),
    [(None, "is not installed"), (("v2",), "serves v2 and not v1"), ((), "serves no version")],
)
def test_without_leaderworkerset_nothing_is_made_and_the_command_is_said(
    served: Any, words: str
) -> None:
    simulation = started(lws=served)
    settle(simulation)
    told = condition(simulation, "Degraded")
    assert (there(simulation), told["reason"]) == (set(), "DependencyMissing")
    assert words in told["message"]
    assert groups.INSTALL in told["message"]
    simulation.env = replace(simulation.env, lws=("v1",))
    settle(simulation)
    assert condition(simulation, "Ready")["status"] == "True"


def test_what_serves_on_one_node_goes_on_while_leaderworkerset_is_missing() -> None:
    simulation = started(ONE, lws=None)
    settle(simulation)
    before = simulation.memory.objects["Deployment", "web"]
    edit(simulation, sizing=TWO)
    settle(simulation)
    assert simulation.memory.objects["Deployment", "web"] == before
    assert condition(simulation, "Ready")["reason"] == "DependencyMissing"


def test_weights_on_a_claim_of_one_node_are_refused_with_the_fix() -> None:
    raw = deployment(sizing=TWO)
    simulation = Simulation(Memory([raw, ready_weights(raw)]), env=world(nodes=NODES, lws=("v1",)))
    settle(simulation)
    told = condition(simulation, "WeightsReady")
    assert (there(simulation), told["reason"]) == (set(), "VolumeNotUsable")
    assert "spec.sizing.nodes" in told["message"]
    assert "ReadWriteMany" in told["message"]


def test_a_name_too_long_for_pods_of_groups_is_refused_before_they_fail() -> None:
    long = "a" * 47
    raw = deployment(long, sizing=TWO, storage=SHARED)
    copy = ready_weights(raw)
    copy["spec"]["storage"] = SHARED
    view = deployment_view(raw, weights=copy, world=world(nodes=NODES, lws=("v1",)))
    decision = decide.decide(view)
    assert decision.blocked is not None
    assert "46" in decision.blocked[1]
    assert decision.desired == []


@pytest.mark.parametrize(("first", "then"), [(ONE, TWO), (TWO, ONE)])
@pytest.mark.parametrize("strategy", ["Surge", "Swap"])
def test_the_old_set_goes_after_the_new_one_is_there_and_never_before_it_is_made(
    first: Object, then: Object, strategy: str
) -> None:
    simulation = started(first, rollout={"strategy": strategy})
    settle(simulation)
    (old,) = there(simulation)
    edit(simulation, sizing=then)
    simulation.serve()
    assert there(simulation) == set(SETS), "the new one first, whatever comes after"
    simulation.serve()
    left = {old} if strategy == "Surge" else set()
    assert there(simulation) == left | (set(SETS) - {old}), "GPUs are given back at once, or kept"
    settle(simulation)
    assert there(simulation) == set(SETS) - {old}
    assert condition(simulation, "Ready")["status"] == "True"


def test_there_and_back_before_the_first_is_over_ends_where_it_began() -> None:
    simulation = started(ONE, rollout={"strategy": "Surge"})
    settle(simulation)
    edit(simulation, sizing=TWO)
    simulation.serve()
    edit(simulation, sizing=ONE)
    settle(simulation)
    assert there(simulation) == {"Deployment"}
    assert condition(simulation, "Ready")["status"] == "True"


# -- room -----------------------------------------------------------------------------------------


def group_pod(simulation: Simulation, number: int, rank: int, ready: bool, old: bool) -> Object:
    parts = simulation.memory.objects["LeaderWorkerSet", "web"]["spec"]["leaderWorkerTemplate"]
    template = parts["workerTemplate" if rank else "leaderTemplate"]
    meta = {**template["metadata"], "namespace": "default", "name": f"web-{number}-{rank}"}
    meta["labels"] = {**meta["labels"], labels.GROUP_INDEX: str(number)}
    if old:
        meta["annotations"] = {labels.INTENT_HASH: "old"}
    spec = {**template["spec"], "nodeName": f"n{2 * number + rank}"}
    said = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": meta, "spec": spec, "status": {"conditions": said}}


def room(simulation: Simulation, pods: list[Object], nodes: int = 4) -> capacity.Room:
    name = next(name for kind, name in simulation.memory.objects if kind == "ControllerRevision")
    template = simulation.memory.objects["ControllerRevision", name]["data"]["template"]
    held = [holder(pod) for pod in pods]
    return capacity.room(template, NODES[:nodes], held, ("default", "web"), "nvidia.com/gpu", 1)


def test_room_is_counted_in_whole_groups() -> None:
    simulation = started()
    settle(simulation)
    assert [room(simulation, [], nodes).servers for nodes in (1, 2, 3, 4)] == [0, 1, 1, 2]
    assert room(simulation, []).free == 16


@pytest.mark.parametrize("ready", [True, False])
def test_a_group_holds_its_gpus_whether_it_answers_or_not(ready: bool) -> None:
    """LeaderWorkerSet does not stop it before others, as a Deployment would."""
    simulation = started()
    settle(simulation)
    pods = [group_pod(simulation, 0, rank, ready=ready, old=True) for rank in (0, 1)]
    assert (room(simulation, pods).servers, room(simulation, pods).free) == (1, 8)


# -- ranks ----------------------------------------------------------------------------------------


def lost(simulation: Simulation, ranks: tuple[Object, ...]) -> str:
    view = replace(simulation.deployment(), ranks=ranks)
    found = groups.told(view, view.server, None)
    return found.reason if found else ""


def test_a_rank_that_is_gone_or_has_ended_is_told() -> None:
    simulation = started()
    settle(simulation)
    whole = simulation.deployment().ranks
    assert lost(simulation, whole) == ""
    assert lost(simulation, ()) == "RankLost"
    box = {"name": "engine", "state": {"terminated": {"exitCode": 137}}}
    ended = {**whole[0], "status": {**whole[0]["status"], "containerStatuses": [box]}}
    assert lost(simulation, (ended,)) == "RankLost"


def test_a_lost_rank_is_told_until_its_group_answers_again() -> None:
    simulation = started()
    settle(simulation)
    view = simulation.deployment()
    said = {"type": "Degraded", "status": "True", "reason": "RankLost", "observedGeneration": 1}
    raw = {**view.raw, "status": {**view.raw["status"], "conditions": [said]}}
    away = replace(view, raw=raw, pods=(), ranks=())
    assert away.server is not None
    coming = {**away.server, "status": {"readyReplicas": 0}}
    assert groups.told(away, coming, None) is not None
    back = {**away.server, "status": {"readyReplicas": 1}}
    assert groups.told(away, back, None) is None


def test_a_first_rank_that_waits_for_a_node_of_another_is_not_called_silent() -> None:
    simulation = started()
    settle(simulation)
    view = simulation.deployment()
    pod = {**view.pods[0], "metadata": {**view.pods[0]["metadata"], "uid": "p", "namespace": "d"}}
    silent = {"p": Start("ImportingModules", 1e9)}
    alone = replace(view, pods=(pod,), ranks=(), starts=silent)
    assert stalls.find(alone) == []
    assert len(stalls.find(replace(alone, ranks=view.ranks))) == 1


def test_both_parts_of_a_group_carry_one_stamp() -> None:
    simulation = started()
    settle(simulation)
    view = simulation.deployment()
    assert view.pods
    assert {stamp(pod) for pod in (*view.pods, *view.ranks)} == {stamp(view.pods[0])}
