"""No server stops for an image that is not on its node yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from kubernetes import client
from tests.support import podsecurity
from tests.support.builders import NOW, world
from tests.unit.reconcile.test_rollout import Servers, how, progressing, told

from llama_operator.api import labels
from llama_operator.reconcile import status
from llama_operator.reconcile.actions import Apply, Delete
from llama_operator.reconcile.decide import Decision, decide
from llama_operator.reconcile.pulls import FAILING_SECONDS, LIMIT_SECONDS, NOBODY_SECONDS
from llama_operator.reconcile.snapshot import DeploymentView
from llama_operator.reconcile.strategy import PENDING_SECONDS

Object = dict[str, Any]
NEW = "example.com/vllm:v2"
OTHER: Object = {"engine": {"image": NEW, "vllmVersion": "0.21.0"}}


class World:
    """Servers on full GPUs, and the Jobs that bring images to their nodes, each with a pod."""

    def __init__(self, replicas: int = 2, **spec: Any) -> None:
        self.servers = Servers(replicas, replicas, **spec)
        for number, pod in enumerate(self.servers.pods):
            pod["spec"] = {"nodeName": f"n{number}"}
        self.jobs: dict[str, Object] = {}
        self.pulls: list[Object] = []
        self.late = timedelta()

    def view(self) -> DeploymentView:
        env = world(nodes=self.servers.nodes, now=NOW + self.late)
        view = self.servers.view(world=env)
        jobs = {("Job", name): job for name, job in self.jobs.items()}
        children = {**view.children, **jobs}
        return replace(view, children=children, pulls=tuple(self.pulls))

    def step(self, **spec: Any) -> Decision:
        """A pass, whose writes arrive."""
        self.servers.spec |= spec
        decision = decide(self.view())
        for job in asked(decision):
            self.jobs[job["metadata"]["name"]] = made(job)
            self.pulls.append(pod_of(job))
        for each in decision.actions:
            if isinstance(each, Delete):
                self.jobs.pop(each.name, None)
        self.servers.roll(decision)
        mine = [each for each in self.servers.children if each["kind"] != "Job"]
        self.servers.children = mine
        return decision

    @property
    def good(self) -> str:
        """The first revision."""
        kept = [each for each in self.servers.children if each["kind"] == "ControllerRevision"]
        return str(min(kept, key=lambda each: int(each["revision"]))["metadata"]["name"])

    def all(self, phase: str, waits: str = "") -> None:
        """How all pods of Jobs fare, and their Jobs."""
        for pod in self.pulls:
            boxes = [{"image": NEW, "state": {"waiting": {"reason": waits}}}] if waits else []
            pod["status"] = {"phase": phase, "containerStatuses": boxes}
        for job in self.jobs.values():
            over = [{"type": "Complete", "status": "True"}] if phase == "Succeeded" else []
            job["status"] = {"conditions": over}


def asked(decision: Decision) -> list[Object]:
    found = [each.obj for each in decision.actions if isinstance(each, Apply)]
    return [obj for obj in found if obj["kind"] == "Job"]


def made(obj: Object) -> Object:
    meta = {**obj["metadata"], "uid": "x", "creationTimestamp": NOW.isoformat()}
    return {**obj, "metadata": meta, "status": {}}


def pod_of(job: Object) -> Object:
    name, own = job["metadata"]["name"], job["spec"]["template"]["metadata"]["labels"]
    meta = {"name": f"{name}-x", "labels": {**own, "batch.kubernetes.io/job-name": name}}
    return {"metadata": meta, "status": {"phase": "Pending"}}


def image(place: World) -> str:
    return str(place.servers.server["spec"]["template"]["spec"]["containers"][0]["image"])


def conditions(place: World, decision: Decision) -> dict[str, Object]:
    built = status.build(place.view(), decision, None, "2026-01-01T12:00:00Z")
    return {each["type"]: each for each in built["conditions"]}


def test_the_image_comes_to_each_node_before_a_server_stops() -> None:
    place = World()
    decision = place.step(**OTHER)
    assert image(place) != NEW
    jobs = asked(decision)
    assert [_node(job["spec"]["template"]) for job in jobs] == ["n0", "n1"]
    for job in jobs:
        client.V1Job.model_validate(job)
        pod = job["spec"]["template"]
        assert podsecurity.findings(pod["spec"]) == []
        assert [box["image"] for box in pod["spec"]["containers"]] == [NEW]
        assert labels.DEPLOYMENT not in pod["metadata"]["labels"], (
            "a Service may select by it alone"
        )
        assert "nvidia.com/gpu" not in str(pod["spec"]["containers"])
        assert {"key": "nvidia.com/gpu", "operator": "Exists"}.items() <= (
            pod["spec"]["tolerations"][0].items()
        )
    state, reason, message = progressing(place.servers, decision)
    assert (state, reason) == ("True", "RollingOut")
    assert (
        message == f"Image {NEW} is brought to 2 nodes before a server stops for it; servers go on"
    )

    place.all("Running")
    assert (asked(place.step()), image(place) == NEW) == ([], False)
    place.all("Succeeded")
    place.step()
    assert image(place) == NEW
    place.step()
    assert place.jobs == {}


def _node(pod: Object) -> str:
    rules = pod["spec"]["affinity"]["nodeAffinity"]
    (term,) = rules["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return str(term["matchFields"][0]["values"][0])


@pytest.mark.parametrize(
    ("spec", "replicas", "gpus"),
    [
        ({"engine": {"args": ["--seed=1"]}}, 2, 2),  # the same image
        (OTHER, 2, 3),  # a surge: the new one pulls beside the old ones
    ],
)
def test_nothing_is_brought_where_nobody_waits_for_it(
    spec: Object, replicas: int, gpus: int
) -> None:
    place = World(replicas)
    place.servers.nodes = Servers(replicas, gpus).nodes
    before = place.servers.server["spec"]["template"]
    assert asked(place.step(**spec)) == []
    assert place.servers.server["spec"]["template"] != before


@pytest.mark.parametrize("unable", [False, True])
def test_a_surge_that_found_no_node_waits_for_the_image_before_it_stops_a_server(
    unable: bool,
) -> None:
    place = World()
    before = image(place)
    place.servers.nodes = Servers(2, 3).nodes
    place.step(**OTHER)
    place.servers.status = {"revision": {"lastGood": place.good}}
    nowhere = place.servers.pod("new", ready=False, nowhere=NOW.isoformat())
    place.servers.pods.append(nowhere)
    place.late = timedelta(seconds=PENDING_SECONDS)
    assert len(asked(place.step())) == 2
    assert how(place.step()) == (1, 0)
    place.all(*(("Pending", "ErrImagePull") if unable else ("Succeeded",)))
    place.late += timedelta(seconds=FAILING_SECONDS)
    after = how(place.step())
    assert image(place) == (before if unable else NEW)
    assert unable or after == (0, 1)


def test_servers_that_do_not_answer_are_not_waited_for() -> None:
    place = World()
    for pod in place.servers.pods:
        pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    assert asked(place.step(**OTHER)) == []
    assert image(place) == NEW


def test_an_image_that_cannot_be_pulled_is_given_up_and_no_server_was_touched() -> None:
    place = World()
    before = image(place)
    place.step(**OTHER)
    place.all("Pending", "ImagePullBackOff")
    decision = place.step()
    assert conditions(place, decision)["Degraded"]["reason"] == "ImagePullFailed"
    place.late = timedelta(seconds=FAILING_SECONDS)
    decision = place.step()
    found = conditions(place, decision)["Progressing"]
    assert (found["status"], found["reason"]) == ("False", "RevisionRejected")
    assert NEW in found["message"] and "ImagePullFailed" in found["message"]
    assert (image(place), place.jobs) == (before, {})
    # And so it stays, until the spec changes.
    again = place.step()
    assert (asked(again), image(place)) == ([], before)
    assert told(place.servers, again)["revision"]["rejected"] == again.revision
    place.step(engine={"args": ["--seed=2"]})
    assert (
        place.servers.server["spec"]["template"]["spec"]["containers"][0]["args"][-1] == "--seed=2"
    )


def test_without_a_way_back_servers_wait_and_say_why() -> None:
    place = World(rollout={"automaticRollback": False})
    place.step(**OTHER)
    place.all("Pending", "ImagePullBackOff")
    place.late = timedelta(seconds=FAILING_SECONDS)
    decision = place.step()
    assert image(place) != NEW
    assert len(place.jobs) == 2
    assert conditions(place, decision)["Degraded"]["reason"] == "ImagePullFailed"


@pytest.mark.parametrize(
    ("pending", "late"),
    [
        ({}, LIMIT_SECONDS),
        ({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                          "message": "too many pods"}]}, FAILING_SECONDS),
    ],
)  # fmt: skip
def test_what_does_not_come_holds_nothing_up_for_ever(pending: Object, late: float) -> None:
    place = World()
    place.step(**OTHER)
    for pod in place.pulls:
        pod["status"] = {"phase": "Pending", **pending}
    place.late = timedelta(seconds=late - 1)
    decision = place.step()
    assert image(place) != NEW
    assert decision.requeue_after is not None
    assert decision.requeue_after <= 30.0
    place.late = timedelta(seconds=late)
    place.step()
    assert image(place) == NEW


def test_a_refused_pod_holds_nothing_up() -> None:
    place = World()
    name = asked(place.step(**OTHER))[0]["metadata"]["name"]
    place.jobs = {}
    message = f'jobs.batch "{name}" is forbidden: exceeded quota: pods'
    place.servers.status = {
        "conditions": [{"type": "Degraded", "status": "True", "reason": "QuotaExceeded",
                        "message": message, "lastTransitionTime": "2026-01-01T12:00:00Z"}]
    }  # fmt: skip
    place.step()
    assert image(place) == NEW


def test_a_job_that_is_given_no_pod_holds_nothing_up() -> None:
    place = World()
    place.step(**OTHER)
    place.pulls = []
    place.late = timedelta(seconds=NOBODY_SECONDS - 1)
    place.step()
    assert image(place) != NEW
    place.late = timedelta(seconds=NOBODY_SECONDS)
    place.step()
    assert image(place) == NEW


def test_a_spec_that_goes_back_needs_no_image() -> None:
    place = World()
    place.step(**OTHER)
    place.servers.spec.pop("engine")
    place.step()
    assert place.jobs == {}
