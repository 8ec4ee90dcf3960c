"""What a queue holds back, and what is said of it: never as if it were a failure."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.diagnose.test_pods import pod

from llama_operator.api import labels
from llama_operator.diagnose import pods, queues

Object = dict[str, Any]
GATE = [{"name": labels.QUEUE_GATE}]
FULL = (
    "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in "
    "flavor plain, 1 more needed"
)


def gated(uid: str = "u", queue: str = "team", **meta: Any) -> Object:
    """A pod that Kueue holds, as the API server shows it."""
    waits = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
    own = {"labels": {labels.QUEUE: queue} if queue else {}, "uid": uid, **meta}
    return {**pod(conditions=[waits], **own), "spec": {"schedulingGates": GATE}}


def workload(message: str = FULL, queue: str = "team", **more: str) -> Object:
    said = {"type": "QuotaReserved", "status": "False", "message": message, **more}
    return {"spec": {"queueName": queue}, "status": {"conditions": [said]}}


def job(*, suspend: bool = True, **more: Any) -> Object:
    meta = {"name": "j", "uid": "j", "labels": more.pop("labels", {})}
    return {"kind": "Job", "metadata": meta, "spec": {"suspend": suspend}, **more}


def test_a_pod_with_kueues_gate_waits_and_nothing_is_wrong_with_it() -> None:
    assert queues.held(gated())
    assert pods.cause(gated()) is None


@pytest.mark.parametrize(
    "other",
    [
        pod(),
        gated(deletionTimestamp="2026-01-01T00:00:00Z"),
        {**gated(), "spec": {"schedulingGates": [{"name": "example.com/other"}]}},
        job(suspend=False),
        job(status={"conditions": [{"type": "Failed", "status": "True"}]}),
    ],
)
def test_what_does_not_wait_in_a_queue(other: Object) -> None:
    assert not queues.held(other)
    assert queues.cause([other], {}) is None


def test_the_queue_kueues_words_and_the_way_on_are_said() -> None:
    found = queues.cause([gated()], {"u": workload()})
    assert found is not None
    assert found.reason == "Queued"
    for part in ("queue team", FULL, "more quota in the ClusterQueue"):
        assert part in found.message


def test_before_kueue_has_spoken_the_queue_is_named() -> None:
    found = queues.cause([gated()], {"u": None})
    assert found is not None
    assert "queue team" in found.message
    assert "has said nothing" in found.message


@pytest.mark.parametrize(
    ("said", "way"),
    [
        ("LocalQueue team doesn't exist", "Make a LocalQueue team in this namespace"),
        ("ClusterQueue team doesn't exist", "kubectl get clusterqueues"),
        ("ClusterQueue team is inactive", "kubectl get clusterqueues"),
        (
            "insufficient quota for cpu in flavor plain, previously considered podsets requests (0) + "
            "current podset request (9) > maximum capacity (8)",
            "raise that of the ClusterQueue",
        ),
    ],
)
def test_a_queue_that_is_not_there_has_another_way_on(said: str, way: str) -> None:
    found = queues.cause([gated()], {"u": workload(said)})
    assert found is not None
    assert way in found.message
    assert "starts by itself" not in found.message


def test_one_that_has_its_quota_and_is_not_admitted_says_what_it_waits_for() -> None:
    checks = {"type": "Admitted", "status": "False", "message": "waits for a check"}
    there = workload()
    there["status"]["conditions"] = [{"type": "QuotaReserved", "status": "True"}, checks]
    assert queues.says(there) == "waits for a check"


def test_the_order_of_pods_is_no_news() -> None:
    two, said = [gated("a"), gated("b")], {"a": None, "b": workload()}
    assert queues.cause(two, said) == queues.cause(two[::-1], said)
    found = queues.cause(two, said)
    assert found is not None
    assert FULL in found.message, "what Kueue says of one tells more than its silence of another"


def test_a_job_that_nobody_queues_is_only_suspended() -> None:
    found = queues.cause([job()], {"j": None})
    assert found is not None
    assert "spec.suspend" in found.message
    assert "Kueue" not in found.message


def test_a_job_in_a_queue_says_so() -> None:
    of_queue = job(labels={labels.QUEUE: "night"})
    found = queues.cause([of_queue], {})
    assert found is not None
    assert "queue night" in found.message
    # Kueue takes those without a label into its default queue, where it is told to.
    found = queues.cause([job()], {"j": workload(queue="default")})
    assert found is not None
    assert "queue default" in found.message


DENIED = (
    'admission webhook "{}.kb.io" denied the request: {}: Invalid value: "x": field is immutable'
)


@pytest.mark.parametrize(
    ("kind", "webhook", "place", "way"),
    [
        ("Deployment", "vdeployment", "metadata.labels[kueue.x-k8s.io/queue-name]", "no queue"),
        ("LeaderWorkerSet", "vleaderworkerset", "spec.x.workerTemplate.spec", "what pods ask for"),
    ],
)
def test_a_change_that_kueue_refuses_has_a_way_on(
    kind: str, webhook: str, place: str, way: str
) -> None:
    obj = {"kind": kind, "metadata": {"name": "web", "namespace": "n"}}
    advice = queues.refused(DENIED.format(webhook, place), obj)
    assert way in advice
    assert f"kubectl -n n delete {kind.lower()} web" in advice


def test_other_refusals_are_not_kueues() -> None:
    obj = {"kind": "Deployment", "metadata": {"name": "web", "namespace": "n"}}
    assert queues.refused("spec.selector: Invalid value: field is immutable", obj) == ""
    assert queues.refused('pods "p" is forbidden: exceeded quota', obj) == ""
