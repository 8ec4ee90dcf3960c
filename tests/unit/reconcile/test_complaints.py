"""Events are asked for of what waits for long, at a bounded rate, and failing to is no failure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from tests.support.builders import COMMIT, weights, weights_view
from tests.unit.diagnose.test_events import event, placed
from tests.unit.runtime.fake_api import FakeApi, Fault

from llama_operator.reconcile import complaints, decide_weights
from llama_operator.reconcile.actions import Apply
from llama_operator.reconcile.complaints import Complaints
from llama_operator.reconcile.snapshot import FOLLOW_SECONDS
from llama_operator.runtime import Api, FakeClock

Object = dict[str, Any]
SHAPE = {"architecture": "LlamaForCausalLM", "numLayers": 32, "hiddenSize": 4096}
PATH = "/api/v1/namespaces/n/events"


class Kubernetes:
    """Answers with `events`, or with `fault`; `asked` holds the selectors."""

    def __init__(self, server: FakeApi) -> None:
        server.fault = self._answer
        self.server = server
        self.asked: list[str] = []
        self.fault: Fault | None = None

    def _answer(self, request: web.Request) -> Fault | None:
        if request.path != PATH:
            return None
        self.asked.append(request.query["fieldSelector"])
        return self.fault


@pytest.fixture
def kubernetes(server: FakeApi) -> Kubernetes:
    server.put(PATH, {**event("FailedMount"), "metadata": {"name": "e"}})
    return Kubernetes(server)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def read(api: Api, clock: FakeClock) -> Complaints:
    return Complaints(api, clock)


def waiting(clock: FakeClock, uid: str = "u", seconds: float = 0) -> Object:
    """A pod that got its node so long ago."""
    pod = placed(uid, namespace="n")
    since = clock.now() - timedelta(seconds=seconds)
    pod["status"]["conditions"][0]["lastTransitionTime"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    return pod


async def test_who_waits_for_long_is_asked_about_by_uid(
    read: Complaints, kubernetes: Kubernetes, clock: FakeClock
) -> None:
    pod = waiting(clock)
    assert await read.of([pod]) == {"u": ()}
    assert kubernetes.asked == []
    clock.advance(FOLLOW_SECONDS)
    found = await read.of([pod])
    assert [each["reason"] for each in found["u"]] == ["FailedMount"]
    assert kubernetes.asked == ["involvedObject.uid=u"]


async def test_a_new_operator_asks_at_once(
    read: Complaints, kubernetes: Kubernetes, clock: FakeClock
) -> None:
    """Else its first status would take the verdict of the one before back, for half a minute."""
    assert (await read.of([waiting(clock, seconds=600)]))["u"]


async def test_the_rate_is_bounded(
    read: Complaints, kubernetes: Kubernetes, clock: FakeClock
) -> None:
    pod = waiting(clock, seconds=600)
    for _ in range(100):
        assert (await read.of([pod]))["u"]
        clock.advance(1)
    assert len(kubernetes.asked) == 1 + 99 // int(FOLLOW_SECONDS)


@pytest.mark.parametrize("fault", [Fault(status=403, reason="Forbidden"), Fault(status=500)])
async def test_what_cannot_be_read_keeps_what_was_known(
    read: Complaints, kubernetes: Kubernetes, clock: FakeClock, fault: Fault
) -> None:
    pod = waiting(clock, seconds=600)
    known = await read.of([pod])
    kubernetes.fault = fault
    clock.advance(FOLLOW_SECONDS)
    assert await read.of([pod]) == known
    assert await read.of([waiting(clock, "new", 600)]) == {"new": ()}


async def test_nobody_else_is_asked_about(
    read: Complaints, kubernetes: Kubernetes, clock: FakeClock
) -> None:
    runs = waiting(clock, "r", 600)
    runs["status"]["containerStatuses"] = [{"state": {"running": {}}}]
    assert await read.of([runs, {"kind": "Role", "metadata": {"uid": "x"}}]) == {}
    assert kubernetes.asked == []


def test_a_job_and_a_claim_that_wait_say_why_in_their_conditions() -> None:
    raw = weights(status={"commit": COMMIT, "bytes": 16_060_556_376, "shape": SHAPE})
    first = decide_weights.decide(weights_view(raw))
    made = [action.obj for action in first.actions if isinstance(action, Apply)]
    for obj in made:
        obj["metadata"] |= {"uid": obj["kind"], "creationTimestamp": "2026-01-01T00:00:00Z"}
    for obj in made:
        obj["status"] = {"phase": "Pending"} if obj["kind"] == "PersistentVolumeClaim" else {}
    told = {
        "Job": (event("FailedCreate", 1, "Error creating: exceeded quota: jobs"),),
        "PersistentVolumeClaim": (event("ProvisioningFailed", 1, "the disk type is unknown"),),
    }
    decision = decide_weights.decide(weights_view(raw, made, events=told))
    assert decision.conditions["Downloaded"].message.endswith("exceeded quota: jobs")
    volume = decision.conditions["VolumeReady"]
    assert volume.reason == "WaitingForConsumer"
    assert volume.message.endswith("Kubernetes says: the disk type is unknown")
    assert decision.requeue_after == FOLLOW_SECONDS


@pytest.mark.parametrize("status", [{}, {"commit": COMMIT, "bytes": 1, "shape": SHAPE}])
def test_a_job_without_its_authorities_is_what_the_alert_of_secrets_sees(status: Object) -> None:
    raw = weights(status=status)
    first = decide_weights.decide(weights_view(raw))
    made = [action.obj for action in first.actions if isinstance(action, Apply)]
    for obj in made:
        obj["metadata"] |= {"uid": obj["kind"], "creationTimestamp": "2026-01-01T00:00:00Z"}
        obj["status"] = {"phase": "Bound"} if obj["kind"] == "PersistentVolumeClaim" else {}
    (job,) = [obj for obj in made if obj["kind"] == "Job"]
    pod = {**placed("p"), "kind": "Pod"}
    pod["metadata"]["ownerReferences"] = [{"uid": job["metadata"]["uid"]}]
    told = {"p": (event("FailedMount", 1, 'configmap "corp-ca" not found'),)}
    decision = decide_weights.decide(weights_view(raw, made, pods=[pod], events=told))
    said = decision.conditions["Accessible"]
    assert (said.status, said.reason) == ("False", "SecretMissing")
    assert "kubectl create configmap corp-ca" in said.message


async def test_few_of_many_are_asked_about(
    read: Complaints, kubernetes: Kubernetes, clock: FakeClock
) -> None:
    await read.of([waiting(clock, f"u{n}", 600) for n in range(9)])
    assert len(kubernetes.asked) == complaints.OBJECTS_AT_ONCE
