"""Servers and Jobs in a queue of Kueue's: told apart from stuck ones, and asked about seldom."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from tests.support.builders import (
    COMMIT,
    NOW,
    deployment,
    weights,
    weights_view,
    world,
)
from tests.unit.diagnose.test_queues import FULL, gated, workload
from tests.unit.reconcile.test_canary import Tried
from tests.unit.reconcile.test_decide_weights import applied, job_of
from tests.unit.reconcile.test_results import SHAPE
from tests.unit.reconcile.test_rollback import LATE, settled
from tests.unit.reconcile.test_rollout import (
    SEED,
    Servers,
    edited,
    how,
    progressing,
    told,
)
from tests.unit.reconcile.test_status import (
    conditions,
    of_this_template,
    running,
    said,
    snapshot,
)
from tests.unit.runtime.fake_api import FakeApi, Fault

from llama_operator.api import labels
from llama_operator.reconcile import coldstart, queues, status_weights
from llama_operator.reconcile.actions import ClearProgress
from llama_operator.reconcile.caches import slim_pod
from llama_operator.reconcile.decide import Decision, decide
from llama_operator.reconcile.decide_weights import decide as decide_weights
from llama_operator.reconcile.queues import Queues
from llama_operator.reconcile.snapshot import FOLLOW_SECONDS, DeploymentView
from llama_operator.reconcile.strategy import PENDING_SECONDS
from llama_operator.runtime import Api, FakeClock

Object = dict[str, Any]
IN_QUEUE: Object = {"scheduling": {"queueName": "team"}}
SERVED = ("v1beta1", "v1beta2")


def stamp(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- servers --------------------------------------------------------------------------------------


def queued(**live: Any) -> DeploymentView:
    """One server, which Kueue holds."""
    raw = deployment(**IN_QUEUE)
    made = running(raw, ready=0, **live)
    pod = slim_pod(of_this_template(made, gated(namespace="default")))
    held = {"u": workload()}
    return snapshot(raw, made, pods=(pod,), queued=held, world=world(kueue=SERVED))


def test_a_server_in_a_queue_is_not_ready_and_nothing_is_wrong() -> None:
    view = queued()
    assert said(view, "Ready") == ("False", "Queued")
    assert said(view, "Progressing") == ("False", "Queued")
    assert said(view, "Degraded") == ("False", "Healthy")
    assert FULL in conditions(view)["Ready"]["message"]


def test_hours_in_a_queue_are_no_late_start() -> None:
    view = queued(conditions=LATE)
    assert said(view, "Progressing") == ("False", "Queued")


def late(placed: float, made: float, passed: float) -> DeploymentView:
    """Kubernetes calls a server late that was made and got its node at these moments."""
    raw = deployment(**IN_QUEUE)
    there = running(raw, ready=0, conditions=LATE)
    pod = of_this_template(there, {"kind": "Pod", "metadata": {"name": "p", "uid": "u"}})
    pod["metadata"]["creationTimestamp"] = stamp(made)
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(placed)}
    pod["status"] = {"conditions": [scheduled]}
    env = world(kueue=SERVED, now=NOW + timedelta(seconds=passed))
    return snapshot(raw, there, pods=(pod,), world=env)


@pytest.mark.parametrize(
    ("placed", "made", "passed", "reason"),
    [
        (7200, 0, 7210, "Starting"),
        (7200, 0, 7200 + 86_400, "StartupStalled"),
        # Made anew after a crash: it did not wait.
        (7200, 7190, 7210, "StartupStalled"),
    ],
)
def test_a_start_is_timed_from_when_it_could_begin(
    placed: float, made: float, passed: float, reason: str
) -> None:
    assert said(late(placed, made, passed), "Progressing")[1] == reason


def test_a_queue_without_kueue_is_said_to_be_heeded_by_nobody() -> None:
    raw = deployment(**IN_QUEUE)
    view = snapshot(raw, running(raw), world=world(kueue=None))
    assert said(view, "Degraded") == ("True", "DependencyMissing")
    assert "spec.scheduling.queueName is team" in conditions(view)["Degraded"]["message"]
    assert decide(view).blocked is None, "servers are made all the same"
    heeded = snapshot(raw, running(raw), world=world(kueue=SERVED))
    assert said(heeded, "Degraded") == ("False", "Healthy")


def test_it_is_looked_at_again_while_it_waits() -> None:
    assert decide(queued()).requeue_after == FOLLOW_SECONDS
    untold = queues.again({"u": None})
    assert untold == queues.UNTOLD_SECONDS
    assert queues.again({}) is None


def test_hours_in_a_queue_are_no_part_of_a_cold_start() -> None:
    moments = [
        {"type": kind, "status": "True", "lastTransitionTime": stamp(at)}
        for kind, at in (("PodScheduled", 7200), ("Ready", 7290))
    ]
    box = {"state": {"running": {"startedAt": stamp(7210)}}}
    own = {"app.kubernetes.io/component": "server"}
    pod: Object = {
        "metadata": {"name": "p", "creationTimestamp": stamp(0), "labels": own},
        "status": {"conditions": moments, "containerStatuses": [box]},
    }
    assert coldstart.phases(pod) == {"scheduled": 7200, "image": 10, "startup": 80}
    own[labels.QUEUE] = "team"
    assert coldstart.phases(pod) == {"image": 10, "startup": 80}


# -- Kueue's own labels ---------------------------------------------------------------------------


def test_what_kueue_writes_on_template_and_pods_stays() -> None:
    raw = deployment(**IN_QUEUE)
    # The revision has the same template as the Deployment, which only Kueue's webhook sees.
    made = [copy.deepcopy(each) for each in running(raw)]
    template = made[-1]["spec"]["template"]["metadata"]
    template["labels"] |= {labels.QUEUE: "team", "kueue.x-k8s.io/managed": "true"}
    template["annotations"] |= {"kueue.x-k8s.io/pod-suspending-parent": "deployment"}
    meta = {"name": "p", "namespace": "default", "uid": "u", "labels": dict(template["labels"])}
    pod = of_this_template(made, {"kind": "Pod", "metadata": meta, "status": {}})
    view = snapshot(raw, made, pods=(pod,), world=world(kueue=SERVED))
    assert decide(view).actions == []


def test_a_queue_of_pods_gives_way_to_that_of_the_spec() -> None:
    mine: Object = {"podMetadata": {"labels": {labels.QUEUE: "other", "a": "b"}}}
    alone = running(deployment(**mine))[-1]
    assert alone["spec"]["template"]["metadata"]["labels"][labels.QUEUE] == "other"
    both = running(deployment(**mine, **IN_QUEUE))[-1]
    assert both["metadata"]["labels"][labels.QUEUE] == "team"
    own = both["spec"]["template"]["metadata"]["labels"]
    assert labels.QUEUE not in own, "Kueue would write its own over it, for ever"
    assert own["a"] == "b"


# -- rollouts -------------------------------------------------------------------------------------


def surged(servers: Servers) -> Servers:
    """A rollout with a new server beside the old ones, which the queue has no quota for."""
    servers.roll(edited(servers))
    held = servers.pod("new-0", ready=False)
    held["metadata"]["creationTimestamp"] = stamp(0)
    held["spec"] = gated()["spec"]
    servers.pods.append(held)
    return servers


def after(servers: Servers, seconds: float, **change: Any) -> Decision:
    env = world(nodes=servers.nodes, kueue=SERVED, now=NOW + timedelta(seconds=seconds))
    return decide(servers.view(world=env, **change))


@pytest.mark.parametrize(
    ("replicas", "falls"), [(1, (0, "100%")), (2, (0, 1))], ids=["Swap", "InPlace"]
)
def test_a_surge_waits_for_quota_no_longer_than_for_a_node(
    replicas: int, falls: tuple[Any, Any]
) -> None:
    servers = surged(Servers(replicas, 8, **IN_QUEUE))
    waits = after(servers, 10)
    assert how(waits) == (1, 0)
    decision = after(servers, PENDING_SECONDS)
    assert how(decision) == falls
    reason = told(servers, decision)["rollout"]["reason"]
    assert "Queue team let no new server start within 60 s" in reason
    assert "others in queue team take its quota first" in reason


def test_a_surge_that_was_asked_for_waits_and_says_for_what() -> None:
    servers = surged(Servers(1, 8, rollout={"strategy": "Surge"}, **IN_QUEUE))
    decision = after(servers, 600)
    assert how(decision) == (1, 0)
    assert progressing(servers, decision)[:2] in (("False", "Queued"), ("True", "RollingOut"))


def test_a_revision_is_not_given_up_for_waiting_in_a_queue() -> None:
    servers = surged(settled(rollout={"strategy": "Surge"}, **IN_QUEUE))
    servers.server["metadata"]["generation"] = 2
    servers.server["status"] = {"observedGeneration": 2, "conditions": LATE}
    decision = after(servers, 86_400)
    assert progressing(servers, decision)[1] != "RevisionRejected"
    servers.pods[-1]["spec"] = {}
    given_up = after(servers, 86_400)
    assert progressing(servers, given_up)[1] == "RevisionRejected", "else the test shows nothing"


def test_a_canary_in_a_queue_says_so_and_is_not_given_up() -> None:
    servers = Tried(**IN_QUEUE)
    servers.edit(**SEED)
    tried = next(
        each
        for each in servers.children
        if (each["kind"], each["metadata"]["name"]) == ("Deployment", "web-canary")
    )
    assert tried["metadata"]["labels"][labels.QUEUE] == "team"
    tried["status"] = {"conditions": LATE}
    pod = servers.pod("try-0", ready=False)
    pod["metadata"] |= {"annotations": tried["spec"]["template"]["metadata"]["annotations"]}
    pod["metadata"]["labels"] = {labels.QUEUE: "team"}
    pod["spec"] = gated()["spec"]
    servers.canaries = [pod]
    decision = decide(servers.view(queued={"try-0": workload()}))
    state, _, message = progressing(servers, decision)
    assert state == "False"
    assert FULL in message
    assert "rollout.canaryPercent=0" in message


# -- Jobs -----------------------------------------------------------------------------------------


def held_job(decision: Any) -> Object:
    made = job_of(decision)
    meta = {**made["metadata"], "uid": "j"}
    return {**made, "metadata": meta, "spec": {**made["spec"], "suspend": True}}


def in_queue(**more: Any) -> Object:
    return weights(meta={"labels": {labels.QUEUE: "night"}}, **more)


def test_jobs_carry_the_queue_of_their_weights_and_never_say_whether_they_run() -> None:
    plain, named = (
        job_of(decide_weights(weights_view())),
        job_of(decide_weights(weights_view(in_queue()))),
    )
    assert labels.QUEUE not in plain["metadata"]["labels"]
    assert named["metadata"]["labels"][labels.QUEUE] == "night"
    assert named["metadata"]["name"] != plain["metadata"]["name"]
    assert "suspend" not in named["spec"]
    assert labels.QUEUE not in named["spec"]["template"]["metadata"]["labels"]


def weights_said(view: Any) -> Object:
    found = status_weights.build(view, decide_weights(view), None, "2026-01-02T00:00:00Z")
    return {each["type"]: each for each in found["conditions"]}


def test_a_preflight_in_a_queue_is_neither_refused_nor_made_again() -> None:
    raw = in_queue()
    job = held_job(decide_weights(weights_view(raw)))
    view = weights_view(raw, [job], queued={"j": workload(queue="night")})
    assert applied(decide_weights(view)) == []
    told_of = weights_said(view)
    assert (told_of["Ready"]["status"], told_of["Ready"]["reason"]) == ("Unknown", "Queued")
    assert FULL in told_of["Accessible"]["message"]


def test_a_fetch_that_is_suspended_is_no_stalled_one() -> None:
    raw = in_queue(status={"commit": COMMIT, "bytes": 16_000_000_000, "shape": SHAPE})
    first = decide_weights(weights_view(raw))
    job = held_job(first)
    (claim,) = (each for each in applied(first) if each["kind"] == "PersistentVolumeClaim")
    claim["status"] = {"phase": "Pending"}
    raw["status"]["progress"] = {"phase": "Fetching", "bytesDone": 1, "bytesTotal": 2}
    view = weights_view(raw, [job, claim], queued={"j": workload(queue="night")})
    decision = decide_weights(view)
    assert weights_said(view)["Downloaded"]["reason"] == "Queued"
    assert weights_said(view)["Ready"]["reason"] == "Queued"
    assert any(isinstance(each, ClearProgress) for each in decision.actions)
    assert decision.requeue_after == FOLLOW_SECONDS


# -- what Kueue is asked --------------------------------------------------------------------------

PATH = "/apis/kueue.x-k8s.io/v1beta2/namespaces/n/workloads"


class Kueue:
    """Answers with one Workload, or with `fault`; `asked` holds the queries."""

    def __init__(self, server: FakeApi) -> None:
        server.fault = self._answer
        self.asked: list[dict[str, str]] = []
        self.fault: Fault | None = None

    def _answer(self, request: web.Request) -> Fault | None:
        if "/kueue.x-k8s.io/" not in request.path:
            return None
        self.asked.append({"path": request.path, **request.query})
        return self.fault


@pytest.fixture
def kueue(server: FakeApi) -> Kueue:
    named = {labels.QUEUE_OWNER: "u"}
    server.put(PATH, {**workload(), "metadata": {"name": "w", "labels": named}})
    return Kueue(server)


def waiting(**meta: Any) -> Object:
    return gated(**{"namespace": "n", **meta})


async def test_whose_workload_it_is_is_asked_for_once_in_a_while(
    api: Api, kueue: Kueue, clock: FakeClock
) -> None:
    read = Queues(api, clock)
    for _ in range(3):
        found = await read.of(SERVED, [waiting()])
    assert list(found) == ["u"]
    assert found["u"] == workload()
    assert [each["labelSelector"] for each in kueue.asked] == [f"{labels.QUEUE_OWNER}=u"]
    clock.advance(FOLLOW_SECONDS)
    await read.of(SERVED, [waiting()])
    assert len(kueue.asked) == 2


async def test_pods_that_are_admitted_together_have_one(api: Api, kueue: Kueue) -> None:
    group = {labels.QUEUE: "team", labels.QUEUE_GROUP: "lws-web-0"}
    await Queues(api, FakeClock()).of(SERVED, [waiting(labels=group)])
    assert [each["fieldSelector"] for each in kueue.asked] == ["metadata.name=lws-web-0"]


async def test_who_does_not_wait_costs_no_request(api: Api, kueue: Kueue) -> None:
    free = {**waiting(), "spec": {}}
    assert await Queues(api, FakeClock()).of(SERVED, [free]) == {}
    assert kueue.asked == []


async def test_without_kueue_nobody_is_asked_and_the_wait_is_known(api: Api, kueue: Kueue) -> None:
    found = await Queues(api, FakeClock()).of(None, [waiting()])
    assert found == {"u": {}}
    assert queues.again(found) == FOLLOW_SECONDS
    assert kueue.asked == []


async def test_an_older_kueue_is_asked_in_its_version(api: Api, kueue: Kueue) -> None:
    await Queues(api, FakeClock()).of(("v1beta1",), [waiting()])
    assert "/v1beta1/" in kueue.asked[0]["path"]


async def test_what_may_not_be_read_is_as_if_nothing_had_been_said(
    api: Api, kueue: Kueue, clock: FakeClock
) -> None:
    read = Queues(api, clock)
    kueue.fault = Fault(status=403)
    assert await read.of(SERVED, [waiting()]) == {"u": None}
    kueue.fault = None
    clock.advance(queues.UNTOLD_SECONDS)
    assert (await read.of(SERVED, [waiting()]))["u"] == workload()


async def test_who_says_nothing_for_long_is_asked_less_often(
    api: Api, kueue: Kueue, clock: FakeClock
) -> None:
    read = Queues(api, clock)
    kueue.fault = Fault(status=403)
    for _ in range(100):
        await read.of(SERVED, [waiting()])
        clock.advance(1)
    assert len(kueue.asked) <= queues.SOON + 1 + 100 / FOLLOW_SECONDS


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_the_gate_of_a_pod_is_kept_in_the_cache() -> None:
    assert slim_pod(waiting())["spec"]["schedulingGates"] == waiting()["spec"]["schedulingGates"]


@pytest.mark.parametrize("reason", ["Unschedulable", "Schedulable"])
def test_a_gang_that_does_not_fit_is_waited_for_as_one_pod(reason: str) -> None:
    """Volcano calls a pod schedulable that would fit, while another of its gang does not."""
    servers = Servers(1, 8)
    servers.roll(edited(servers))
    servers.pods.append(servers.pod("new-0", ready=False, nowhere=stamp(0)))
    servers.pods[-1]["status"]["conditions"][-1]["reason"] = reason
    assert how(after(servers, PENDING_SECONDS)) == (0, "100%")
