"""Servers behind KServe: how they are made, counted, told of, and changed to and fro."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import (
    NOW,
    deployment,
    deployment_view,
    gpu_node,
    merged,
    ready_weights,
    world,
)
from tests.support.kserve import played
from tests.support.memory import Memory
from tests.support.simulated import edit, settle
from tests.support.simulation import Simulation

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.diagnose import servers
from llama_operator.reconcile import decide, kserve, status
from llama_operator.reconcile.snapshot import DeploymentView

Object = dict[str, Any]
SERVICE, PREDICTOR = ("InferenceService", "web"), ("Deployment", "web-predictor")
NODES = (gpu_node(gpus=8),)


def started(backend: str = "kserve", served: Any = ("v1beta1",), **spec: Any) -> Simulation:
    raw = deployment(backend=backend, **spec)
    copy = ready_weights(raw)
    copy["metadata"]["namespace"] = "default"
    # The claim that servers mount, so that the copy lies where revisions say.
    copy["status"]["claimName"] = copy["metadata"]["name"]
    return Simulation(Memory([raw, copy]), env=world(nodes=NODES, kserve=served))


def there(simulation: Simulation) -> set[tuple[str, str]]:
    known = (SERVICE, PREDICTOR, ("Deployment", "web"), ("LeaderWorkerSet", "web"))
    return {key for key in simulation.memory.objects if key in known}


def told(simulation: Simulation) -> Object:
    return dict(simulation.memory.objects["LlamaDeployment", "web"]["status"])


def condition(simulation: Simulation, kind: str) -> Object:
    return next(dict(each) for each in told(simulation)["conditions"] if each["type"] == kind)


def test_an_inference_service_is_made_and_read_back() -> None:
    simulation = started(replicas=2)
    settle(simulation)
    assert there(simulation) == {SERVICE, PREDICTOR}
    status = told(simulation)
    assert [status[n] for n in ("replicas", "readyReplicas", "updatedReplicas")] == [2, 2, 2]
    assert condition(simulation, "Ready")["status"] == "True"
    assert status["endpoint"]["url"] == "http://web.default.svc:8000/v1"
    assert status["endpoint"]["externalURL"] == "http://web-default.example.com/v1"
    assert status["kserve"] == {"ready": "True", "traffic": [], "message": ""}
    LlamaDeploymentSpec.model_validate(simulation.memory.objects["LlamaDeployment", "web"]["spec"])


def test_a_native_server_has_no_address_of_kserve() -> None:
    simulation = started("native", None)
    settle(simulation)
    assert there(simulation) == {("Deployment", "web")}
    assert "externalURL" not in told(simulation)["endpoint"]
    assert "kserve" not in told(simulation)


def test_more_replicas_and_fewer_reach_kserve() -> None:
    simulation = started()
    settle(simulation)
    for count in (3, 0):
        edit(simulation, replicas=count)
        settle(simulation)
        assert simulation.memory.objects[PREDICTOR]["spec"]["replicas"] == count
        assert told(simulation)["readyReplicas"] == count
    assert condition(simulation, "Ready")["reason"] == "ScaledToZero"


def test_a_changed_flag_rolls_and_becomes_the_last_good_revision() -> None:
    simulation = started()
    settle(simulation)
    before = told(simulation)["revision"]["current"]
    edit(simulation, engine={"args": ["--seed=7"]})
    simulation.serve()
    assert condition(simulation, "Ready")["reason"] == "RollingOut"
    settle(simulation)
    after = told(simulation)["revision"]
    assert after["current"] == after["lastGood"] != before
    args = simulation.memory.objects[PREDICTOR]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--seed=7" in args


@pytest.mark.parametrize(
    ("served", "words"),
    [
        (None, "is not installed"),
        (("v1alpha1",), "serves v1alpha1 and not v1beta1"),
        ((), "serves no version"),
    ],
)
def test_without_kserve_nothing_is_made_and_the_command_is_said(served: Any, words: str) -> None:
    simulation = started(served=served)
    settle(simulation)
    said = condition(simulation, "Degraded")
    assert (there(simulation), said["reason"]) == (set(), "DependencyMissing")
    assert words in said["message"]
    assert kserve.INSTALL in said["message"]
    simulation.env = replace(simulation.env, kserve=("v1beta1",))
    settle(simulation)
    assert condition(simulation, "Ready")["status"] == "True"


def test_what_serves_natively_goes_on_while_kserve_is_missing() -> None:
    simulation = started("native", None)
    settle(simulation)
    before = simulation.memory.objects["Deployment", "web"]
    edit(simulation, backend="kserve")
    settle(simulation)
    assert simulation.memory.objects["Deployment", "web"] == before
    assert condition(simulation, "Ready")["reason"] == "DependencyMissing"


@pytest.mark.parametrize(("first", "then"), [("native", "kserve"), ("kserve", "native")])
@pytest.mark.parametrize("strategy", ["Surge", "Swap"])
def test_the_old_servers_go_after_the_new_ones_are_there_or_at_once(
    first: str, then: str, strategy: str
) -> None:
    simulation = started(first, rollout={"strategy": strategy})
    settle(simulation)
    makers = {"native": ("Deployment", "web"), "kserve": SERVICE}
    edit(simulation, backend=then)
    simulation.serve()
    assert set(makers.values()) <= there(simulation), "the new one first, whatever comes after"
    simulation.serve()
    assert (makers[first] in there(simulation)) is (strategy == "Surge")
    settle(simulation)
    assert there(simulation) == {makers[then], *([PREDICTOR] if then == "kserve" else [])}
    assert condition(simulation, "Ready")["status"] == "True"


def test_there_and_back_before_the_first_is_over_ends_where_it_began() -> None:
    simulation = started("native", rollout={"strategy": "Surge"})
    settle(simulation)
    edit(simulation, backend="kserve")
    simulation.serve()
    edit(simulation, backend="native")
    settle(simulation)
    assert there(simulation) == {("Deployment", "web")}
    assert condition(simulation, "Ready")["status"] == "True"


def test_undo_goes_back_to_the_other_back_end() -> None:
    simulation = started("native")
    settle(simulation)
    before = told(simulation)["revision"]["current"]
    edit(simulation, backend="kserve")
    settle(simulation)
    edit(simulation, rollout={"undoTo": before})
    settle(simulation)
    assert there(simulation) == {("Deployment", "web")}
    assert told(simulation)["revision"]["current"] == before


# -- what cannot be -------------------------------------------------------------------------------


def test_a_name_too_long_for_kserves_label_is_refused_before_it_fails() -> None:
    for length, fine in ((48, True), (49, False)):
        raw = deployment("a" * length, backend="kserve")
        env = world(nodes=NODES, kserve=("v1beta1",))
        decision = decide.decide(deployment_view(raw, weights=ready_weights(raw), world=env))
        assert (decision.blocked is None) is fine
    assert decision.blocked is not None
    assert "48" in decision.blocked[1]
    # The label of the longest one is the longest that Kubernetes takes.
    service = {"metadata": {"name": "a" * 48}}
    assert len(f"isvc.{played.predictor_name(service)}") == 63


def test_a_plan_for_several_nodes_is_refused_with_the_way_out() -> None:
    sizing = {"nodes": 2, "tensorParallel": 8}
    shared = {"accessModes": ["ReadWriteMany"]}
    raw = deployment(backend="kserve", sizing=sizing, storage=shared)
    copy = ready_weights(raw)
    copy["spec"]["storage"] = shared
    nodes = tuple(gpu_node(f"n{number}", 4) for number in range(2))
    env = world(nodes=nodes, kserve=("v1beta1",), lws=("v1",))
    decision = decide.decide(deployment_view(raw, weights=copy, world=env))
    assert decision.desired == []
    assert decision.blocked is not None
    assert "spec.backend" in decision.blocked[1]
    assert "native" in decision.blocked[1]


# -- what KServe says -----------------------------------------------------------------------------


def view_of(simulation: Simulation, said: Object | None = None, **made: Any) -> DeploymentView:
    """A settled view in which KServe says, and has made, something else."""
    view = simulation.deployment()
    service = view.children[SERVICE]
    meta = {**service["metadata"], "generation": 1}
    service = {
        **service,
        "metadata": meta,
        "status": said if said is not None else service["status"],
    }
    predictor = merged(view.predictor or {}, made)
    return replace(view, children={**view.children, SERVICE: service}, predictor=predictor)


def ready(view: DeploymentView) -> Object:
    found = status.build(view, decide.decide(view), None, "2026-01-01T12:00:00Z")
    return next(dict(each) for each in found["conditions"] if each["type"] == "Ready")


def settled(**spec: Any) -> Simulation:
    simulation = started(**spec)
    settle(simulation)
    return simulation


def test_servers_that_answer_are_not_ready_while_kserve_lets_nobody_in() -> None:
    simulation = settled()
    view = simulation.deployment()
    service, made = view.children[SERVICE], view.predictor or {}
    said = played.status(service, made, ("HTTPRouteNotReady", "no Gateway kserve/ingress"))
    told = ready(view_of(simulation, said))
    assert (told["status"], told["reason"]) == ("False", "Starting")
    assert (
        "IngressReady is False (HTTPRouteNotReady - no Gateway kserve/ingress)" in told["message"]
    )
    assert ready(view_of(simulation))["status"] == "True"


def test_kserve_that_has_not_looked_is_waited_for() -> None:
    told = ready(view_of(settled(), {}))
    assert told["status"] == "False"
    assert "has not looked" in told["message"]


def test_numbers_are_of_the_present_spec_only_once_kserves_deployment_is() -> None:
    simulation = settled(replicas=2)
    older = {"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}
    for made in (older, {"spec": {"replicas": 1}}, {"status": {"observedGeneration": 7}}):
        assert ready(view_of(simulation, None, **made))["reason"] == "RollingOut"
    other = {"spec": {"template": {"metadata": {"annotations": {"llamactl.dev/intent-hash": "x"}}}}}
    view = view_of(simulation, None, **other)
    assert view.server is not None
    assert view.server["status"]["updatedReplicas"] == 0
    assert ready(view)["reason"] == "RollingOut"


def test_a_quota_that_kserves_deployment_meets_is_told() -> None:
    full = 'pods "web-predictor-x" is forbidden: exceeded quota: gpus, requested: 1, used: 8'
    failed = {"type": "ReplicaFailure", "status": "True", "message": full}
    view = view_of(settled(), None, status={"conditions": [failed], "readyReplicas": 0})
    found = servers.refused(view.server)
    assert found is not None
    assert found.reason == "QuotaExceeded"


def test_a_start_may_take_longer_than_kserves_ten_minutes_and_not_for_ever() -> None:
    simulation = settled()
    slow = {
        "readyReplicas": 0,
        "conditions": [
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
        ],
    }
    view = view_of(simulation, None, status=slow)
    raw = {**view.raw, "status": {**view.raw["status"], "revision": {"update": "new"}}}
    service = merged(view.children[SERVICE], {"metadata": {"creationTimestamp": NOW.isoformat()}})
    view = replace(view, raw=raw, children={**view.children, SERVICE: service})
    assert not servers.over_budget(view.server)
    later = replace(view.world, now=NOW + timedelta(hours=3))
    assert servers.over_budget(replace(view, world=later).server)


def test_traffic_is_read_back_and_a_split_that_kserve_does_not_make_is_said() -> None:
    simulation = settled(rollout={"canaryPercent": 10})
    assert simulation.memory.objects[SERVICE]["spec"]["predictor"]["canaryTrafficPercent"] == 10
    assert "reports no split" in told(simulation)["kserve"]["message"]
    traffic = [
        {"revisionName": "web-predictor-00002", "percent": 10, "latestRevision": True},
        {"revisionName": "web-predictor-00001", "percent": 90},
    ]
    service = simulation.memory.objects[SERVICE]
    said = merged(service["status"], {"components": {"predictor": {"traffic": traffic}}})
    found = kserve.told(view_of(simulation, said))
    assert found["traffic"] == [
        {"revision": "web-predictor-00002", "percent": 10},
        {"revision": "web-predictor-00001", "percent": 90},
    ]
    assert found["message"] == ""


def test_to_go_back_to_a_revision_of_several_nodes_is_no_wish_for_them() -> None:
    several = {"nodes": 2, "tensorParallel": 8, "pipelineParallel": 1}
    shared = {"accessModes": ["ReadWriteMany"]}
    nodes = tuple(gpu_node(f"n{number}", 8) for number in range(4))
    simulation = started("native", sizing=several, storage=shared)
    simulation.memory.objects["LlamaWeights", ready_name(simulation)]["spec"]["storage"] = shared
    simulation.env = world(nodes=nodes, kserve=("v1beta1",), lws=("v1",))
    settle(simulation)
    before = told(simulation)["revision"]["current"]
    edit(simulation, backend="kserve", sizing={})
    settle(simulation)
    assert SERVICE in there(simulation)
    edit(simulation, rollout={"undoTo": before})
    settle(simulation)
    assert there(simulation) == {("LeaderWorkerSet", "web")}


def ready_name(simulation: Simulation) -> str:
    return next(name for kind, name in simulation.memory.objects if kind == "LlamaWeights")
