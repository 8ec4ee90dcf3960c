"""Who scales a deployment, how far, and what is said where something is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import (
    Object,
    deployment,
    deployment_view,
    node,
    ready_weights,
    world,
)
from tests.support.memory import Memory
from tests.support.simulation import STAMP, Simulation

from llama_operator.reconcile import decide, scaling, status
from llama_operator.reconcile.actions import Apply, Delete
from llama_operator.reconcile.snapshot import DeploymentView, World
from llama_operator.render.inputs import Settings

PROMETHEUS = Settings(prometheus_address="http://prometheus:9090")
KEDA: Object = {"keda": ("v1alpha1",), "settings": PROMETHEUS}
FIRST_TOKEN = {"targets": [{"metric": "TimeToFirstToken", "value": 900}]}
ZERO: Object = {"minReplicas": 0, "maxReplicas": 3}


def look(env: Object | None = None, children: Any = (), **autoscaling: Any) -> DeploymentView:
    raw = deployment(autoscaling=autoscaling)
    return deployment_view(
        raw, list(children), world=world(**(env or {})), weights=ready_weights(raw)
    )


def chosen(view: DeploymentView) -> scaling.Choice:
    plan = decide.decide(view).judgement.plan
    assert plan is not None
    choice = scaling.choose(view, plan)
    assert choice is not None
    return choice


def test_without_it_nobody_scales() -> None:
    view = replace(look(), spec=deployment_view().spec)
    plan = decide.decide(view).judgement.plan
    assert plan is not None
    assert scaling.choose(view, plan) is None
    assert "autoscaling" not in status.build(view, decide.decide(view), None, STAMP)


@pytest.mark.parametrize(
    ("env", "scaler", "said"),
    [
        ({}, "HPA", ""),
        (KEDA, "KEDA", ""),
        ({**KEDA, "keda": ("v1",)}, "HPA", "serves keda.sh/v1 and not keda.sh/v1alpha1"),
        ({**KEDA, "keda": ()}, "HPA", "serves no version"),
        ({"keda": ("v1alpha1",)}, "HPA", "autoscaling.prometheusAddress"),
    ],
)
def test_keda_where_it_is_of_use_else_kubernetes_own(env: Object, scaler: str, said: str) -> None:
    choice = chosen(look(env))
    assert choice.scaling.scaler == scaler
    assert choice.missing is None
    assert said in choice.message and bool(said) == bool(choice.message)


def test_one_replica_at_most_needs_nobody_but_the_activator() -> None:
    choice = chosen(look(minReplicas=0, maxReplicas=1))
    assert (choice.scaling.scaler, choice.missing) == ("None", None)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "KEDA is not installed; install it: helm install keda keda --repo"),
        ({"keda": ("v2",)}, "serves keda.sh/v2 and not keda.sh/v1alpha1"),
        ({"keda": ("v1alpha1",)}, "set the chart's value autoscaling.prometheusAddress"),
    ],
)
def test_a_target_that_needs_keda_says_so_in_degraded(env: Object, words: str) -> None:
    view = look(env, **FIRST_TOKEN)
    assert chosen(view).scaling.scaler == "None"
    conditions = status.build(view, decide.decide(view), None, STAMP)["conditions"]
    degraded = next(each for each in conditions if each["type"] == "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "DependencyMissing")
    assert "TimeToFirstToken needs KEDA" in degraded["message"] and words in degraded["message"]
    assert chosen(look(KEDA, **FIRST_TOKEN)).missing is None


def hpa(message: str, active: str = "False") -> Object:
    condition = {"type": "ScalingActive", "status": active, "reason": "R", "message": message}
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default", "uid": "h"},
        "spec": {},
        "status": {"conditions": [condition]},
    }


NO_API = "unable to fetch metrics from custom metrics API: no known available metric versions found"


def test_an_adapter_that_is_missing_is_told_as_kubernetes_tells_it() -> None:
    missing = chosen(look(children=[hpa(NO_API)])).missing
    assert missing is not None
    assert missing[0] == "DependencyMissing"
    assert "vllm_num_requests_waiting" in missing[1] and "docs/autoscaling.md" in missing[1]
    for other in (hpa("no metrics returned from custom metrics API"), hpa(NO_API, "True")):
        assert chosen(look(children=[other])).missing is None


def quota(hard: str, namespace: str = "default", **spec: Any) -> Object:
    return {
        "metadata": {"name": "team", "namespace": namespace},
        "spec": {"hard": {"requests.nvidia.com/gpu": hard}, **spec},
    }


def test_a_quota_is_a_wall_and_is_said() -> None:
    choice = chosen(look({"quotas": (quota("2"),)}, maxReplicas=8))
    assert choice.scaling.max_replicas == 2
    assert "ResourceQuota team allows 2, so at most 2 are asked for" in choice.message
    others = (quota("2", "elsewhere"), quota("2", scopes=["BestEffort"]), quota("nonsense"))
    assert chosen(look({"quotas": others}, maxReplicas=8)).scaling.max_replicas == 8
    assert chosen(look({"quotas": (quota("0"),)})).scaling.max_replicas == 1


def test_a_quota_of_a_device_class_is_one_for_who_claims_of_it() -> None:
    hard = {
        "gpu.nvidia.com.deviceclass.resource.k8s.io/devices": "3",
        "requests.nvidia.com/gpu": "1",
    }
    limit = {**quota("1"), "spec": {"hard": hard}}
    view = look({"quotas": (limit,)}, maxReplicas=8)
    spec = view.spec.model_copy(
        update={"gpu": view.spec.gpu.model_copy(update={"device_class_name": "gpu.nvidia.com"})}
    )
    assert chosen(replace(view, spec=spec)).scaling.max_replicas == 3


def test_nodes_that_are_too_few_are_only_said() -> None:
    few = node(**{"nvidia.com/gpu.count": "2"})
    view = look({"nodes": (few,)}, maxReplicas=8)
    assert view.weights is not None
    view.weights["spec"]["storage"] = {"accessModes": ["ReadWriteMany"]}
    choice = chosen(view)
    assert choice.scaling.max_replicas == 8
    assert "have 2, so more than 2 replicas wait for nodes" in choice.message
    assert chosen(look(maxReplicas=8)).message == ""  # no label tells how many there are


def test_a_claim_for_one_node_is_a_wall_as_well() -> None:
    eight = node(**{"nvidia.com/gpu.count": "8"})
    choice = chosen(look({"nodes": (eight, eight)}, maxReplicas=20))
    assert choice.scaling.max_replicas == 8
    assert "the claim is ReadWriteOnce, and a node has 8" in choice.message
    one_pod = look(maxReplicas=20)
    assert one_pod.weights is not None
    one_pod.weights["spec"]["storage"] = {"accessModes": ["ReadWriteOncePod"]}
    assert chosen(one_pod).scaling.max_replicas == 1


# -- switching on, over and off, as a life --------------------------------------------------------


def alive(env: World | None = None, **spec: Any) -> Simulation:
    raw = deployment(storage={"accessModes": ["ReadWriteMany"]}, **spec)
    raw["metadata"]["namespace"] = "default"
    simulation = Simulation(Memory([raw]), env=env)
    simulation.settle()
    return simulation


def changed(simulation: Simulation, **spec: Any) -> None:
    raw = simulation.memory.objects[("LlamaDeployment", "web")]
    kept = {key: value for key, value in raw["spec"].items() if key != "autoscaling"}
    generation = raw["metadata"]["generation"] + 1
    meta = {**raw["metadata"], "generation": generation}
    simulation.memory.put({**raw, "metadata": meta, "spec": {**kept, **spec}})


def replicas(simulation: Simulation) -> int:
    server = simulation.memory.objects[("Deployment", "web")]
    return int(server["spec"]["replicas"])


def kinds(simulation: Simulation) -> set[str]:
    objects = simulation.memory.objects
    return {kind for kind, _ in objects if kind in ("HorizontalPodAutoscaler", "ScaledObject")} | {
        f"activator {kind}" for kind, name in objects if name == "web-activator"
    }


def test_switching_on_and_off_never_changes_the_replicas() -> None:
    simulation = alive(replicas=3)
    steps: list[Object] = [{"autoscaling": ZERO}, {"autoscaling": {}}, {}]
    for step in steps:
        changed(simulation, **step)
        while_it_runs(simulation)
    assert kinds(simulation) == set()
    changed(simulation, autoscaling=ZERO)
    while_it_runs(simulation)
    assert len(kinds(simulation)) == 7


def while_it_runs(simulation: Simulation) -> None:
    for _ in range(6):
        simulation.serve()
        assert replicas(simulation) == 3
        simulation.play()


def test_what_an_autoscaler_sets_reaches_the_child_and_stays_when_it_goes() -> None:
    simulation = alive(autoscaling={})
    changed(simulation, replicas=4, autoscaling={})
    simulation.settle()
    assert replicas(simulation) == 4
    changed(simulation, replicas=4)
    simulation.settle()
    assert (replicas(simulation), kinds(simulation)) == (4, set())


def test_the_other_scaler_goes_before_keda_is_asked() -> None:
    simulation = alive(autoscaling={})
    assert kinds(simulation) == {"HorizontalPodAutoscaler"}
    simulation.env = world(**KEDA)
    simulation.serve()
    order = [
        (type(each), each.kind if isinstance(each, Delete) else each.obj["kind"])
        for each in simulation.asked
        if isinstance(each, Delete | Apply)
    ]
    assert order == [(Delete, "HorizontalPodAutoscaler"), (Apply, "ScaledObject")]
    simulation.env = world()
    simulation.settle()
    assert kinds(simulation) == {"HorizontalPodAutoscaler"}


def test_zero_is_ready_and_said() -> None:
    simulation = alive(replicas=0, autoscaling=ZERO)
    found = simulation.memory.objects[("LlamaDeployment", "web")]["status"]
    assert found["conditions"][0]["reason"] == "ScaledToZero"
    assert found["autoscaling"] == {
        "scaler": "HPA",
        "minReplicas": 0,
        "maxReplicas": 3,
        "message": "",
    }


def test_measurements_alone_are_no_news() -> None:
    old = hpa("x", "True")
    new = {**old, "status": {**old["status"], "currentMetrics": [1], "lastScaleTime": "t"}}
    assert not scaling.judged_anew("update", old, new)
    assert scaling.judged_anew("update", old, hpa("x"))
    assert scaling.judged_anew("update", hpa("x"), hpa(NO_API))
    used = {**quota("2"), "status": {"used": 1}}
    assert not scaling.limits("update", quota("2"), used)
    assert scaling.limits("update", quota("2"), quota("3"))
