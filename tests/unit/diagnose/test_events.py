"""Which events tell of a failure, of which objects, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from llama_operator.diagnose import events, servers
from llama_operator.diagnose.events import cause, waiting_since, worst

Object = dict[str, Any]
MOUNT = 'MountVolume.SetUp failed for volume "ca": no such share'
SUMMARY = "Unable to attach or mount volumes: unmounted volumes=[ca]: timed out waiting"


def event(reason: str, minute: int = 1, message: str = "why", **more: Any) -> Object:
    return {
        "reason": reason,
        "message": message,
        "lastTimestamp": f"2026-01-01T00:{minute:02}:00Z",
        **more,
    }


def placed(uid: str = "u", *boxes: Object, phase: str = "Pending", **meta: Any) -> Object:
    """A pod that has a node."""
    since = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"phase": phase, "conditions": [since], "containerStatuses": list(boxes)}
    return {"kind": "Pod", "metadata": {"name": "p", "uid": uid, **meta}, "status": status}


CREATING = {"state": {"waiting": {"reason": "ContainerCreating"}}}


@pytest.mark.parametrize("reason", [r for r in events.REASONS if r != "FailedCreate"])
def test_a_complaint_is_a_cause_in_kubernetes_words(reason: str) -> None:
    found = cause([event("Scheduled", 0), event(reason, 1, MOUNT), event("Unhealthy", 2)])
    assert found is not None
    assert (found.reason, found.message) == (reason, f"Kubernetes says: {MOUNT}")


def test_names_of_claims_that_are_made_up_are_left_out() -> None:
    text = "Failed to prepare dynamic resources: NodePrepareResources failed for ResourceClaim web-6-gpus-x7k: no CDI"
    found = cause([event("FailedPrepareDynamicResources", 1, text)])
    assert found is not None
    assert "web-6" not in found.message
    assert "ResourceClaim: no CDI" in found.message


@pytest.mark.parametrize(
    "reason", ["Unhealthy", "BackOff", "FailedScheduling", "Failed", "Killing"]
)
def test_other_warnings_are_none(reason: str) -> None:
    assert cause([event(reason)]) is None


def test_what_went_on_since_is_over() -> None:
    """A Secret that was not in the kubelet's cache yet; now a large image is pulled for minutes."""
    assert cause([event("FailedMount", 1), event("Pulling", 2)]) is None
    assert cause([event("Pulled", 1), event("FailedMount", 2)]) is not None


def test_the_newest_complaint_counts_but_no_summary_of_it() -> None:
    seen = [event("FailedAttachVolume", 1), event("FailedMount", 2, MOUNT)]
    summary = event("FailedMount", 3, SUMMARY)
    for each in (seen, [*seen, summary], [summary, *seen]):
        found = cause(each)
        assert found is not None
        assert MOUNT in found.message
    alone = cause([summary])
    assert alone is not None
    assert SUMMARY in alone.message


def test_what_moves_by_itself_is_left_out() -> None:
    one, other = (
        cause([event("FailedCreatePodSandBox", 1, f"plugin: lookup at 10.0.0.{n}:53: id 0xc0{n}")])
        for n in (1, 2)
    )
    assert one == other


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('Error creating: pods "web-5d-x7" is forbidden: exceeded quota: gpus', "QuotaExceeded"),
        ('Error creating: pods "web-5d-q2" is forbidden: violates PodSecurity', "AdmissionRefused"),
    ],
)
def test_pods_that_are_not_made_have_the_verdict_of_their_deployment(
    text: str, reason: str
) -> None:
    found = cause([event("FailedCreate", 1, text)])
    told = {"type": "ReplicaFailure", "status": "True", "message": text.partition(": ")[2]}
    assert found is not None
    assert found.reason == reason
    assert found == servers.refused({"status": {"conditions": [told]}})
    assert "web-5d" not in found.message


@pytest.mark.parametrize(
    ("obj", "waits"),
    [
        (placed(), True),
        (placed("u", CREATING), True),
        (placed("u", {"state": {"running": {}}}), False),
        (placed("u", {"state": {"terminated": {}}}), False),
        (placed("u", {**CREATING, "lastState": {"terminated": {}}}), False),
        (placed(phase="Running"), False),
        (placed(phase="Failed"), False),
        (placed(deletionTimestamp="2026-01-01T00:00:00Z"), False),
        ({"metadata": {}, "status": {"phase": "Pending"}}, False),
        ({"kind": "Job", "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}, True),
        ({"kind": "Job", "metadata": {}, "status": {"active": 1}}, False),
        ({"kind": "Job", "metadata": {}, "status": {"conditions": [{"type": "Failed"}]}}, False),
        ({"kind": "PersistentVolumeClaim", "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
          "status": {"phase": "Pending"}}, True),
        ({"kind": "PersistentVolumeClaim", "metadata": {}, "status": {"phase": "Bound"}}, False),
        ({"kind": "Role", "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}, False),
    ],
)  # fmt: skip
def test_who_waits(obj: Object, waits: bool) -> None:
    assert bool(waiting_since(obj)) == waits


def test_only_who_waits_is_complained_of_whatever_the_order() -> None:
    told = {"a": [event("FailedMount", 1, "a")], "b": [event("FailedMount", 2, "b")]}
    told["c"] = [event("Evicted", 3)]
    both = [placed("a"), placed("b"), placed("c", phase="Running")]
    assert worst(both, told) == worst(both[::-1], told) == cause(told["a"])
    assert worst([placed("c", phase="Running")], told) is None
    assert worst(both, {}) is None


def gone(reason: str, message: str) -> Object:
    status = {"phase": "Failed", "reason": reason, "message": message}
    return {"kind": "Pod", "metadata": {"name": message, "uid": message}, "status": status}


def test_one_pod_that_had_to_leave_is_history_and_two_are_a_cause() -> None:
    few: Object = {"status": {"replicas": 1, "readyReplicas": 0}}
    left = [gone("Evicted", "The node was low on memory")]
    left[0]["status"]["containerStatuses"] = [{"state": {"terminated": {"exitCode": 137}}}]
    assert servers.worst(left, few, {}) is None
    found = servers.worst([*left, gone("Evicted", "b"), gone("Shutdown", "c")], few, {})
    assert found is not None
    assert (found.reason, found.message) == (
        "Evicted", "Kubernetes says: The node was low on memory"
    )  # fmt: skip
    enough = {"status": {"replicas": 1, "readyReplicas": 1}}
    assert servers.worst([*left, gone("Evicted", "b")], enough, {}) is None
