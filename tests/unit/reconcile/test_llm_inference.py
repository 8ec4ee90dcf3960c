"""LLMInferenceServices of KServe: how they are made, rolled, told of, and changed to and fro."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import deployment, deployment_view, gpu_node, ready_weights, world
from tests.support.kserve import played_llm
from tests.support.memory import Memory
from tests.support.simulated import edit, settle
from tests.support.simulation import Simulation

from llama_operator.api import labels
from llama_operator.reconcile import decide, kserve, podlabels, status
from llama_operator.reconcile.snapshot import DeploymentView

Object = dict[str, Any]
SERVICE, MADE = ("LLMInferenceService", "web"), ("Deployment", "web-kserve")
OTHER, OTHERS = ("InferenceService", "web"), ("Deployment", "web-predictor")
NATIVE = ("Deployment", "web")
LLM: Object = {"backend": "kserve", "kserve": {"resource": "LLMInferenceService"}}
NODES = (gpu_node(gpus=8),)
BOTH: Object = {"kserve": ("v1beta1",), "llm_kserve": ("v1alpha2",)}


def started(first: Object | None = None, cluster: Object | None = None, **spec: Any) -> Simulation:
    raw = deployment(**(LLM if first is None else first), **spec)
    copy = ready_weights(raw)
    copy["metadata"]["namespace"] = "default"
    copy["status"]["claimName"] = copy["metadata"]["name"]
    env = world(nodes=NODES, **(BOTH if cluster is None else cluster))
    return Simulation(Memory([raw, copy]), env=env)


def settled(**spec: Any) -> Simulation:
    simulation = started(**spec)
    settle(simulation)
    return simulation


def there(simulation: Simulation) -> set[tuple[str, str]]:
    known = (SERVICE, MADE, OTHER, OTHERS, NATIVE)
    return {key for key in simulation.memory.objects if key in known}


def told(simulation: Simulation) -> Object:
    return dict(simulation.memory.objects["LlamaDeployment", "web"]["status"])


def condition(simulation: Simulation, kind: str) -> Object:
    return next(dict(each) for each in told(simulation)["conditions"] if each["type"] == kind)


def test_one_is_made_and_read_back() -> None:
    simulation = settled(replicas=2)
    assert there(simulation) == {SERVICE, MADE}
    found = told(simulation)
    assert [found[n] for n in ("replicas", "readyReplicas", "updatedReplicas")] == [2, 2, 2]
    assert condition(simulation, "Ready")["status"] == "True"
    assert found["endpoint"]["url"] == "http://web.default.svc:8000/v1"
    assert found["endpoint"]["externalURL"] == "http://gateway.example.com/default/web/v1"
    assert found["kserve"] == {"ready": "True", "traffic": [], "message": ""}


def test_more_replicas_and_fewer_reach_kserve() -> None:
    simulation = settled()
    for count in (3, 0):
        edit(simulation, replicas=count)
        settle(simulation)
        assert simulation.memory.objects[MADE]["spec"]["replicas"] == count
        assert told(simulation)["readyReplicas"] == count
    assert condition(simulation, "Ready")["reason"] == "ScaledToZero"


def test_a_changed_flag_rolls_and_becomes_the_last_good_revision() -> None:
    simulation = settled()
    before = told(simulation)["revision"]["current"]
    edit(simulation, engine={"args": ["--seed=7"]})
    simulation.serve()
    assert condition(simulation, "Ready")["reason"] == "RollingOut"
    settle(simulation)
    after = told(simulation)["revision"]
    assert after["current"] == after["lastGood"] != before
    args = simulation.memory.objects[MADE]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--seed=7" in args


# -- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("served", "words"),
    [
        (None, "LLMInferenceService is not installed"),
        (("v1alpha1",), "serves v1alpha1 and not v1alpha2"),
    ],
)
def test_without_its_kind_nothing_is_made_and_the_command_is_said(served: Any, words: str) -> None:
    simulation = started(cluster={"llm_kserve": served})
    settle(simulation)
    said = condition(simulation, "Degraded")
    assert (there(simulation), said["reason"]) == (set(), "DependencyMissing")
    assert words in said["message"]
    assert said["message"].endswith(kserve.INSTALL_LLM)
    simulation.env = replace(simulation.env, llm_kserve=("v1alpha2",))
    settle(simulation)
    assert condition(simulation, "Ready")["status"] == "True"


def test_beside_kserves_other_controller_the_command_makes_nothing_twice() -> None:
    simulation = started(cluster={"kserve": ("v1beta1",)})
    settle(simulation)
    assert condition(simulation, "Degraded")["message"].endswith(kserve.SHARED)


def test_what_serves_goes_on_while_the_kind_is_missing() -> None:
    simulation = started({"backend": "kserve"}, {"kserve": ("v1beta1",)})
    settle(simulation)
    before = simulation.memory.objects[OTHER]
    edit(simulation, **LLM)
    settle(simulation)
    assert simulation.memory.objects[OTHER] == before
    assert there(simulation) == {OTHER, OTHERS}


def test_it_may_have_a_longer_name_than_an_inference_service() -> None:
    raw = deployment("a" * 49, **LLM)
    env = world(nodes=NODES, **BOTH)
    found = decide.decide(deployment_view(raw, weights=ready_weights(raw), world=env))
    assert found.blocked is None


# -- from one to another --------------------------------------------------------------------------

SPECS: dict[str, Object] = {
    "native": {"backend": "native", "kserve": {}},
    "service": {"backend": "kserve", "kserve": {}},
    "llm": LLM,
}
MAKERS = {"native": {NATIVE}, "service": {OTHER, OTHERS}, "llm": {SERVICE, MADE}}


@pytest.mark.parametrize("strategy", ["Surge", "Swap"])
@pytest.mark.parametrize(
    ("first", "then"),
    [("native", "llm"), ("llm", "native"), ("service", "llm"), ("llm", "service")],
)
def test_each_follows_each_and_leaves_nothing(first: str, then: str, strategy: str) -> None:
    simulation = started(SPECS[first], rollout={"strategy": strategy})
    settle(simulation)
    edit(simulation, **SPECS[then])
    simulation.serve()
    assert there(simulation) & MAKERS[first], "the new one first, whatever comes after"
    settle(simulation)
    assert there(simulation) == MAKERS[then]
    assert condition(simulation, "Ready")["status"] == "True"


def test_undo_goes_back_to_it() -> None:
    simulation = settled()
    before = told(simulation)["revision"]["current"]
    edit(simulation, **SPECS["native"])
    settle(simulation)
    edit(simulation, rollout={"undoTo": before})
    settle(simulation)
    assert there(simulation) == MAKERS["llm"]


# -- what KServe says -----------------------------------------------------------------------------


def view_of(simulation: Simulation, said: Object | None = None, **seen: Any) -> DeploymentView:
    """A settled view in which KServe says something else."""
    view = simulation.deployment()
    service = view.children[SERVICE]
    meta = {**service["metadata"], "generation": 1}
    service = {**service, "metadata": meta, "status": service["status"] if said is None else said}
    return replace(view, children={**view.children, SERVICE: service}, **seen)


def ready(view: DeploymentView) -> Object:
    found = status.build(view, decide.decide(view), None, "2026-01-01T12:00:00Z")
    return next(dict(each) for each in found["conditions"] if each["type"] == "Ready")


def test_servers_that_answer_are_not_ready_while_kserve_lets_nobody_in() -> None:
    simulation = settled()
    view = simulation.deployment()
    why = ("HTTPRouteReconcileError", "no Gateway kserve/kserve-ingress-gateway")
    said = played_llm.status(view.children[SERVICE], view.predictor or {}, why)
    found = ready(view_of(simulation, said))
    assert (found["status"], found["reason"]) == ("False", "Starting")
    assert "HTTPRoutesReady is False (HTTPRouteReconcileError - no Gateway" in found["message"]
    assert ready(view_of(simulation))["status"] == "True"


def test_a_preset_that_kserve_lacks_is_the_first_cause() -> None:
    simulation = settled()
    missing = {
        "conditions": [
            {"type": "Ready", "status": "False"},
            {"type": "RouterReady", "status": "Unknown"},
            {"type": "PresetsCombined", "status": "False", "reason": "ConfigNotFound"},
        ]
    }
    found = ready(view_of(simulation, missing))
    assert "PresetsCombined is False (ConfigNotFound)" in found["message"]


def test_a_gateway_that_would_speak_tls_to_servers_is_told() -> None:
    simulation = settled()
    for protocol, fine in (("http", True), ("https", False)):
        entry = {
            "metadata": {"name": "web-kserve-workload-svc"},
            "spec": {"ports": [{"port": 8000, "appProtocol": protocol}]},
        }
        found = ready(view_of(simulation, entry=entry))
        assert (found["status"] == "True") is fine
    assert "enableLLMInferenceServiceTLS" in found["message"]
    assert "web-kserve-workload-svc" in found["message"]


def test_shares_of_a_group_are_read_back() -> None:
    simulation = settled()
    members = [{"name": "web", "weight": 1}, {"name": "other", "weight": 3}]
    said = {
        **simulation.memory.objects[SERVICE]["status"],
        "router": {"group": {"name": "g", "members": members}},
    }
    found = kserve.told(view_of(simulation, said))
    assert found["traffic"] == [
        {"revision": "web", "percent": 25},
        {"revision": "other", "percent": 75},
    ]


def test_one_that_somebody_has_emptied_is_put_right() -> None:
    simulation = settled()
    service = simulation.memory.objects[SERVICE]
    template = {**service["spec"]["template"], "volumes": []}
    simulation.memory.put({**service, "spec": {**service["spec"], "template": template}})
    settle(simulation)
    volumes = simulation.memory.objects[SERVICE]["spec"]["template"]["volumes"]
    assert "weights" in [each["name"] for each in volumes]


# -- without a strategy of its own ----------------------------------------------------------------


def pod(name: str, stamp: str, **meta: Any) -> Object:
    own = {labels.DEPLOYMENT: "web", labels.COMPONENT: labels.SERVER}
    return {
        "metadata": {
            "name": name, "namespace": "default", "uid": name, "labels": own,
            "annotations": {labels.INTENT_HASH: stamp}, **meta,
        },
        "status": {"phase": "Running"},
    }  # fmt: skip


def asked(view: DeploymentView) -> int:
    (found,) = [obj for obj in decide.decide(view).desired if obj["kind"] == SERVICE[0]]
    return int(found["spec"]["replicas"])


def test_one_is_given_up_while_old_servers_are_there_and_comes_back() -> None:
    simulation = settled(replicas=2, rollout={"strategy": "InPlace"})
    now = simulation.memory.objects[MADE]["spec"]["template"]["metadata"]["annotations"][
        labels.INTENT_HASH
    ]
    edit(simulation, engine={"args": ["--seed=7"]})
    view = simulation.deployment()
    old = (pod("a", now), pod("b", now))
    assert asked(replace(view, pods=old)) == 1
    # Those that leave, and those that ended, hold nothing.
    gone = pod("a", now, deletionTimestamp="2026-01-01T00:00:00Z")
    ended = {**pod("b", now), "status": {"phase": "Failed"}}
    assert asked(replace(view, pods=(gone, ended))) == 2


# -- labels that KServe would make a part of a selector -------------------------------------------


def test_labels_that_may_change_are_given_to_pods_that_run() -> None:
    simulation = settled(podMetadata={"labels": {"team": "a"}}, observability={"podMonitor": False})
    view = simulation.deployment()
    template = simulation.memory.objects[MADE]["spec"]["template"]["metadata"]
    mine = {**pod("a", ""), "metadata": {**pod("a", "")["metadata"], **template, "name": "a"}}
    (change,) = podlabels.changes(replace(view, pods=(mine,)))
    assert change.labels["team"] == "a"
    assert change.labels[labels.SCRAPED] == "false"
    assert change.labels[labels.VOLUME]
    given = {**mine["metadata"]["labels"], **change.labels}
    noted = {**mine["metadata"]["annotations"], labels.LABELLED: change.keys}
    meta = {**mine["metadata"], "labels": given, "annotations": noted}
    assert podlabels.changes(replace(view, pods=({**mine, "metadata": meta},))) == []
