"""How a changed spec reaches the servers: which strategy, what is said, and that it never hangs."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import (
    NOW,
    deployment,
    deployment_view,
    gpu_node,
    ready_weights,
    world,
)

from llama_operator.api import labels
from llama_operator.api.v1alpha1_status import RevisionStatus, RolloutStatus
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import course, record, revisions, rollout, status
from llama_operator.reconcile.actions import Apply
from llama_operator.reconcile.decide import Decision, decide
from llama_operator.reconcile.holders import Holder, amounts
from llama_operator.reconcile.packed import Squeezer
from llama_operator.reconcile.snapshot import DeploymentView, SecretView
from llama_operator.reconcile.strategy import PENDING_SECONDS

Object = dict[str, Any]
KEY = SecretView("web-api-key", True, frozenset({"default"}), frozenset({"uid-web"}))
NOW_TEXT = "2026-01-01T12:00:00Z"
EDIT: Object = {"args": ["--seed=1"]}
SEED: Object = {"engine": EDIT}


class Servers:
    """A deployment whose servers run and answer, on one node with so many GPUs."""

    def __init__(self, replicas: int = 2, gpus: int = 2, **spec: Any) -> None:
        self.spec: Object = {"replicas": replicas, **spec}
        self.nodes = (gpu_node(gpus=gpus),)
        self.children: list[Object] = []
        self.pods: list[Object] = []
        self.status: Object = {}
        self.counted = True
        self.roll(decide(self.view()))
        self.pods = [self.pod(f"old-{number}") for number in range(replicas)]

    def view(self, **change: Any) -> DeploymentView:
        raw = deployment(status=self.status, **self.spec)
        env = change.pop("world", world(nodes=self.nodes))
        view = deployment_view(
            raw, self.children, weights=ready_weights(raw), key=KEY, world=env,
            pods=tuple(self.pods), **change,
        )  # fmt: skip
        copies = frozenset(revisions.places(self.children))
        view = replace(view, copies=change.get("copies", copies))
        held = tuple(self._holder(pod) for pod in self.pods) if self.counted else None
        return replace(view, holders=held) if rollout.counts(view) else view

    def roll(self, decision: Decision) -> None:
        """What the operator writes, and the Deployment controller notes."""
        for action in decision.actions:
            if isinstance(action, Apply):
                made = copy.deepcopy(action.obj)
                if made["kind"] == revisions.KIND:
                    made = revisions.slim(made, Squeezer())
                made["metadata"]["uid"] = made["metadata"]["name"]
                same = (made["kind"], made["metadata"]["name"])
                self.children = [
                    each for each in self.children
                    if (each["kind"], each["metadata"]["name"]) != same
                ] + [made]  # fmt: skip

    @property
    def server(self) -> Object:
        return next(each for each in self.children if each["kind"] == "Deployment")

    def pod(self, name: str, ready: bool = True, nowhere: str = "") -> Object:
        conditions: list[Object] = [{"type": "Ready", "status": str(ready)}]
        if nowhere:
            conditions.append(
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                 "lastTransitionTime": nowhere}
            )  # fmt: skip
        meta = self.server["spec"]["template"]["metadata"]
        return {
            "kind": "Pod",
            "metadata": {**meta, "name": name, "uid": name, "namespace": "default"},
            "status": {"conditions": conditions},
        }

    def _holder(self, pod: Object) -> Holder:
        conditions = pod["status"]["conditions"]
        placed = not any(each["type"] == "PodScheduled" for each in conditions)
        return Holder(
            node="n1" if placed else "",
            amounts=amounts({"nvidia.com/gpu": "1"}),
            namespace="default",
            server="web",
            stamp=stamp(pod),
            ready=conditions[0]["status"] == "True",
        )


def how(decision: Decision) -> tuple[Any, Any]:
    found = next(obj for obj in decision.desired if obj["kind"] == "Deployment")
    rolling = found["spec"]["strategy"]["rollingUpdate"]
    return rolling["maxSurge"], rolling["maxUnavailable"]


def edited(servers: Servers, **more: Any) -> Decision:
    servers.spec = {**servers.spec, **SEED, **more}
    return decide(servers.view())


def told(servers: Servers, decision: Decision) -> Object:
    made = status.build(servers.view(), decision, None, NOW_TEXT)
    for part, model in (("rollout", RolloutStatus), ("revision", RevisionStatus)):
        fields = {each.alias for each in model.model_fields.values()}
        assert set(made.get(part, {})) <= fields, "the API server refuses others"
    return made


def progressing(servers: Servers, decision: Decision) -> tuple[str, str, str]:
    conditions = told(servers, decision)["conditions"]
    found = next(each for each in conditions if each["type"] == "Progressing")
    return found["status"], found["reason"], found["message"]


# -- which strategy -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "gpus", "wanted", "strategy", "free"),
    [
        (2, 2, (0, 1), "InPlace", 0),
        (2, 3, (1, 0), "Surge", 1),
        (8, 8, (0, 1), "InPlace", 0),
        (8, 10, (2, 0), "Surge", 2),
        (8, 16, (2, 0), "Surge", 8),
        (1, 1, (0, "100%"), "Swap", 0),
        (1, 2, (1, 0), "Surge", 1),
    ],
)
def test_free_gpus_decide(
    replicas: int, gpus: int, wanted: tuple[Any, Any], strategy: str, free: int
) -> None:
    servers = Servers(replicas, gpus)
    decision = edited(servers)
    assert how(decision) == wanted
    said = told(servers, decision)["rollout"]
    assert (said["strategy"], said["freeGPUs"]) == (strategy, free)
    assert f"{free} of {gpus} GPUs are free and a server needs 1" in said["reason"]


@pytest.mark.parametrize(
    ("asked", "wanted"), [("Surge", (1, 0)), ("InPlace", (0, 1)), ("Swap", (0, "100%"))]
)
def test_what_is_asked_for_is_not_judged(asked: str, wanted: tuple[Any, Any]) -> None:
    servers = Servers(2, 2, rollout={"strategy": asked})
    decision = edited(servers)
    assert servers.view().holders is None, "nothing is counted"
    assert how(decision) == wanted
    assert told(servers, decision)["rollout"]["reason"] == f"spec.rollout.strategy is {asked}"


def test_before_any_rollout_a_deployment_is_as_it_always_was() -> None:
    servers = Servers()
    assert how(decide(servers.view())) == (0, 1)
    assert labels.ROLLOUT not in servers.server["metadata"]["annotations"]
    assert "rollout" not in told(servers, decide(servers.view()))


def test_what_cannot_be_counted_is_tried() -> None:
    servers = Servers(1, 1)
    servers.counted = False
    decision = edited(servers)
    assert how(decision) == (1, 0)
    said = told(servers, decision)["rollout"]
    assert said["strategy"] == "Surge"
    assert "freeGPUs" not in said
    assert "could not be counted" in said["reason"]


def test_a_swap_foretells_its_time_from_the_last_start() -> None:
    servers = Servers(1, 1)
    assert "as long as a start takes" in told(servers, edited(servers))["rollout"]["reason"]
    servers.status = {"coldStart": {"pod": "old-0", "imageSeconds": 12, "loadSeconds": 60}}
    assert "about 72 s" in told(servers, edited(servers))["rollout"]["reason"]


def test_no_replica_needs_no_strategy() -> None:
    servers = Servers(0, 0)
    assert how(edited(servers)) == (0, 1)
    assert servers.view().holders is None


# -- downtime that is not allowed -----------------------------------------------------------------


def test_without_leave_the_only_server_goes_on_and_the_numbers_are_said() -> None:
    servers = Servers(1, 1, rollout={"allowDowntime": False})
    before = servers.server["spec"]["template"]
    decision = edited(servers)
    found = next(obj for obj in decision.desired if obj["kind"] == "Deployment")
    assert found["spec"]["template"] == before
    assert decision.requeue_after == course.WAIT_SECONDS
    state, reason, message = progressing(servers, decision)
    assert (state, reason) == ("False", "WaitingForGPUs")
    assert "0 of 1 GPUs are free and a server needs 1" in message
    assert "llamactl set web rollout.allowDowntime=true" in message
    said = told(servers, decision)["rollout"]
    assert (said["strategy"], said["freeGPUs"]) == ("Surge", 0)


def test_it_rolls_as_soon_as_a_gpu_is_free_or_the_time_is_allowed() -> None:
    servers = Servers(1, 1, rollout={"allowDowntime": False})
    servers.roll(edited(servers))
    servers.nodes = (gpu_node(gpus=2),)
    assert how(decide(servers.view())) == (1, 0)
    servers.nodes = (gpu_node(gpus=1),)
    servers.spec["rollout"] = {"allowDowntime": True}
    assert how(decide(servers.view())) == (0, "100%")


def test_while_it_waits_replicas_still_follow_the_spec() -> None:
    servers = Servers(1, 1, rollout={"allowDowntime": False})
    decision = edited(servers, paused=False)
    assert not [each for each in decision.actions if isinstance(each, Apply)
                and each.obj["kind"] == "Deployment"]  # fmt: skip
    servers.spec["replicas"] = 0
    found = next(each for each in decide(servers.view()).desired if each["kind"] == "Deployment")
    assert found["spec"]["replicas"] == 0


def test_old_servers_that_all_fail_stop_before_new_ones_start() -> None:
    servers = Servers(2, 8)
    servers.pods = [servers.pod(f"old-{number}", ready=False) for number in range(2)]
    assert how(edited(servers)) == (0, 1), "there is room for more, and nobody to keep them for"


def test_a_server_that_does_not_answer_needs_no_leave() -> None:
    servers = Servers(1, 1, rollout={"allowDowntime": False})
    servers.pods = [servers.pod("old-0", ready=False)]
    assert how(edited(servers)) == (0, "100%"), "kept for nobody, it would hold its GPU and CPU"


# -- while it rolls -------------------------------------------------------------------------------


def surging(replicas: int = 2, **spec: Any) -> Servers:
    servers = Servers(replicas, replicas + 1, **spec)
    servers.roll(edited(servers))
    return servers


def after(servers: Servers, seconds: float) -> Decision:
    later = world(nodes=servers.nodes, now=NOW + timedelta(seconds=seconds))
    return decide(servers.view(world=later))


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def test_the_choice_stands_until_the_next_rollout() -> None:
    servers = surging()
    servers.pods.append(servers.pod("new-0", ready=False))
    servers.nodes = (gpu_node(gpus=2),)
    assert decide(servers.view()).actions == []
    servers.pods = [servers.pod("new-0"), servers.pod("new-1")]
    assert decide(servers.view()).actions == []


def test_a_surge_that_finds_no_node_falls_back_after_a_minute() -> None:
    servers = surging()
    servers.pods.append(servers.pod("new-0", ready=False, nowhere=at(0)))
    waits = after(servers, 10)
    assert (how(waits), waits.requeue_after) == ((1, 0), PENDING_SECONDS - 10)
    falls = after(servers, PENDING_SECONDS)
    assert how(falls) == (0, 1)
    assert "No node took the new server within 60 s" in told(servers, falls)["rollout"]["reason"]
    servers.roll(falls)
    assert after(servers, PENDING_SECONDS + 1).actions == []


def test_one_that_starts_is_waited_for_as_long_as_it_needs() -> None:
    servers = surging()
    servers.pods += [
        servers.pod("new-0", ready=False, nowhere=at(0)),
        servers.pod("new-1", ready=False),
    ]
    assert how(after(servers, 600)) == (1, 0)


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ({}, (0, "100%")),
        ({"allowDowntime": False}, (1, 0)),
        ({"strategy": "Surge"}, (1, 0)),
    ],
)
def test_the_only_server_is_stopped_with_leave_only(rules: Object, wanted: object) -> None:
    servers = surging(1, rollout=rules)
    servers.pods.append(servers.pod("new-0", ready=False, nowhere=at(0)))
    assert how(after(servers, 600)) == wanted


def test_at_rest_a_pod_without_a_node_is_no_surge() -> None:
    servers = surging()
    servers.pods = [servers.pod("new-0"), servers.pod("new-1", ready=False, nowhere=at(0))]
    assert after(servers, 600).actions == []


def test_another_spec_while_it_rolls_is_counted_anew() -> None:
    servers = surging()
    servers.pods.append(servers.pod("new-0", ready=False))
    servers.spec["engine"] = {"args": ["--seed=2"]}
    again = decide(servers.view())
    assert how(again) == (1, 0), "the server that does not answer yet gives way"
    servers.pods[-1] = servers.pod("new-0")
    assert how(decide(servers.view())) == (0, 1)


def test_another_strategy_while_it_rolls_is_taken_at_once_and_at_rest_writes_nothing() -> None:
    servers = surging()
    servers.pods.append(servers.pod("new-0", ready=False))
    servers.spec["rollout"] = {"strategy": "InPlace"}
    assert how(decide(servers.view())) == (0, 1)
    servers.pods = [servers.pod("new-0"), servers.pod("new-1")]
    assert decide(servers.view()).actions == []


# -- the record -----------------------------------------------------------------------------------


def test_a_record_reads_back_and_nonsense_is_none() -> None:
    servers = surging()
    kept = record.read(servers.server)
    assert kept is not None
    assert (kept.strategy, kept.surge, kept.free) == ("Surge", 1, 1)
    assert kept.how.record == servers.server["metadata"]["annotations"][labels.ROLLOUT]
    for spoilt in ("", "7", "[]", "{}", '{"strategy": 1', json.dumps({"reason": "x"})):
        odd = {"metadata": {"annotations": {labels.ROLLOUT: spoilt}}}
        assert record.read(odd) is None


def test_a_strategy_edited_by_hand_is_put_right() -> None:
    servers = surging()
    servers.server["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 5, "maxUnavailable": 5}}
    (action,) = decide(servers.view()).actions
    assert isinstance(action, Apply)
    assert how(decide(servers.view())) == (1, 0)


def test_free_gpus_are_not_counted_where_nobody_answers() -> None:
    servers = Servers()
    servers.spec = {**servers.spec, **SEED}
    assert rollout.counts(servers.view())
    servers.pods = [
        {**pod, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}
        for pod in servers.pods
    ]
    assert not rollout.counts(servers.view())
