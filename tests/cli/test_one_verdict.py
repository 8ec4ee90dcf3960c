"""What is wrong with servers has one verdict: in Degraded, in doctor, and in the metric by cause."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from llama_operator.diagnose import events as kubernetes
from llama_operator.reconcile.decide import decide
from llama_operator.reconcile.fleet import FleetCollector
from llama_operator.reconcile.snapshot import FOLLOW_SECONDS
from llamactl import findings
from llamactl import waiting as waits
from llamactl.checkup import Checkup
from tests.cli.conftest import DEPLOYMENTS, PODS, Run
from tests.cli.fake_api import Fake
from tests.docs.markdown import PROJECT
from tests.support.builders import deployment
from tests.unit.diagnose.test_events import event, gone, placed
from tests.unit.diagnose.test_pods import ended, pod, waiting
from tests.unit.reconcile.test_fleet import Listed
from tests.unit.reconcile.test_status import built, of_this_template, running, snapshot

Object = dict[str, Any]
UNSCHEDULABLE = {
    "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
}  # fmt: skip


def refusal(text: str) -> Object:
    return {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": text}]}


# Cause -> pods, their events, and more of the Deployment's status.
CASES: dict[str, tuple[list[Object], list[Object], Object]] = {
    "FailedMount": ([placed()], [event("FailedMount", 1, 'no such share')], {}),
    "FailedAttachVolume": ([placed()], [event("FailedAttachVolume", 1, "Multi-Attach error")], {}),
    "FailedCreatePodSandBox": ([placed()], [event("FailedCreatePodSandBox", 1, "no CNI")], {}),
    "NetworkNotReady": ([placed()], [event("NetworkNotReady", 1, "cni config")], {}),
    "Unschedulable": ([pod(conditions=[UNSCHEDULABLE], uid="u")], [], {}),
    "QuotaExceeded": ([], [], refusal('pods "web-1" is forbidden: exceeded quota: gpus')),
    "AdmissionRefused": ([], [], refusal('pods "web-1" is forbidden: violates PodSecurity')),
    "ImagePullFailed": ([pod(waiting("ErrImagePull", image="no/such:1"), uid="u")], [], {}),
    "SecretMissing": (
        [pod(waiting("CreateContainerConfigError", 'secret "k" not found'), uid="u")], [], {}
    ),
    "OutOfMemory": ([pod(ended(137, "OOMKilled"), uid="u")], [], {}),
    "Evicted": ([gone("Evicted", "low on memory"), gone("Evicted", "b")], [], {}),
    "UnexpectedAdmissionError": (
        [gone("UnexpectedAdmissionError", "Allocate failed"), gone("UnexpectedAdmissionError", "b")],
        [], {},
    ),
}  # fmt: skip


def world(cause: str) -> tuple[Object, list[Object], list[Object], dict[str, list[Object]]]:
    """(deployment with its status, children, pods, events) as the operator has them."""
    pods, events, live = CASES[cause]
    raw = deployment()
    made = running(raw, ready=0, **live)
    mine = [of_this_template(made, each) for each in pods]
    told = {"u": events} if events else {}
    view = snapshot(raw, made, pods=tuple(mine), events=told)
    return {**raw, "status": built(view)}, made, mine, told


@pytest.mark.parametrize("cause", CASES)
def test_condition_doctor_and_metric_name_one_cause(cause: str) -> None:
    raw, made, pods, events = world(cause)
    (degraded,) = [c for c in raw["status"]["conditions"] if c["type"] == "Degraded"]
    assert (degraded["status"], degraded["reason"]) == ("True", cause)

    # As llamactl finds it without the operator: no status at all.
    bare = {**raw, "status": {"observedGeneration": 1, "conditions": []}}
    for obj in (bare, raw):
        found = findings.find(Checkup(obj, made[-1], pods, waiting=events))
        assert [(each.cause, each.explanation) for each in found][:1] == [
            (cause, degraded["message"])
        ]
        assert len([each for each in found if each.cause == cause]) == 1

    registry = CollectorRegistry()
    FleetCollector(Listed([raw]), Listed([]), registry, per_object=True)
    labels = {"namespace": "default", "name": "web", "cause": cause}
    assert registry.get_sample_value("llama_operator_degraded", labels) == 1


def test_a_pod_that_waits_is_looked_at_again() -> None:
    raw = deployment()
    made = running(raw, ready=0)
    assert decide(snapshot(raw, made, events={"u": []})).requeue_after == FOLLOW_SECONDS
    assert decide(snapshot(raw, made)).requeue_after is None


def test_the_verdict_goes_when_the_pod_goes_on() -> None:
    raw = deployment()
    made = running(raw, ready=0)
    told = {"u": [event("FailedMount", 1), event("Pulling", 2)]}
    view = snapshot(raw, made, pods=(of_this_template(made, placed()),), events=told)
    found = {each["type"]: each["reason"] for each in built(view)["conditions"]}
    assert found["Degraded"] == "Healthy"


def test_a_wait_gives_kubernetes_time_to_mend_it() -> None:
    passing = {reason for reason in kubernetes.REASONS if reason != "FailedCreate"}
    passing -= {"UnexpectedAdmissionError"}
    assert passing | {"Unschedulable", "QuotaExceeded"} == waits.MENDED_BY_KUBERNETES
    page = (PROJECT / "docs/troubleshooting.md").read_text()
    assert all(f"`{reason}`" in page for reason in passing)
    assert waits.patience("FailedMount") > waits.patience("NotFound") > waits.patience("Fits")


def test_doctor_reads_the_events_of_what_waits(llamactl: Run, api: Fake) -> None:
    raw, _, pods, events = world("FailedMount")
    raw["status"]["conditions"] = []
    api.put(f"{DEPLOYMENTS}/web", raw)
    api.put(f"{PODS}/p", {**pods[0], "metadata": {"name": "p", "uid": "u"}})
    for uid, told in (("u", events[0] if isinstance(events, list) else events["u"][0]), ("v", {})):
        about = {"kind": "Pod", "name": "p", "uid": uid}
        api.put(f"/api/v1/namespaces/n/events/{uid}", {**told, "involvedObject": about})
    result = llamactl("doctor", "web", "-o", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["cause"] == "FailedMount"
    assert any("fieldSelector=involvedObject.uid%3Du" in path for _, path in api.asked)
