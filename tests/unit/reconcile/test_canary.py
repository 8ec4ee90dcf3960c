"""A new revision is tried by one server beside the others, which nothing may touch meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import NOW, deployment, ready_weights, world
from tests.unit.diagnose.test_pods import ended
from tests.unit.reconcile.test_rollback import BAD_FLAG, LATE
from tests.unit.reconcile.test_rollout import NOW_TEXT, SEED, Servers, progressing, told

from llama_operator.api import labels
from llama_operator.api.template import WORKER
from llama_operator.reconcile import revisions, rollout, status
from llama_operator.reconcile.actions import Delete, Label
from llama_operator.reconcile.decide import Decision, decide
from llama_operator.reconcile.snapshot import DeploymentView, Start

Object = dict[str, Any]
ROUTE: Object = {"httpRoute": {"parentRefs": [{"name": "public"}]}}
CANARY = "web-canary"


class Tried(Servers):
    """Servers of a revision that has proven good, on a cluster with HTTPRoutes, and canaries."""

    def __init__(self, replicas: int = 2, gpus: int = 3, percent: int = 20, **spec: Any) -> None:
        self.canaries: list[Object] = []
        self.served: tuple[str, ...] | None = ("v1",)
        rollout = {"canaryPercent": percent, **spec.pop("rollout", {})}
        endpoint = {**ROUTE, **spec.pop("endpoint", {})}
        super().__init__(replicas, gpus, rollout=rollout, endpoint=endpoint, **spec)
        self.plays()

    def view(self, **change: Any) -> DeploymentView:
        env = change.pop("world", world(nodes=self.nodes, routes=self.served))
        known: Object = {"canaries": tuple(self.canaries), "world": env, "gateways": {}}
        return super().view(**{**known, **change})

    def plays(self) -> None:
        """The Deployment controller has done what it was told, and the status says so."""
        count = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas"), self.spec["replicas"])  # fmt: skip
        self.server["status"] = count
        self.status = status.build(self.view(), decide(self.view()), None, NOW_TEXT)

    def roll(self, decision: Decision) -> None:
        super().roll(decision)
        gone = {(each.kind, each.name) for each in decision.actions if isinstance(each, Delete)}
        self.children = [
            each for each in self.children if (each["kind"], each["metadata"]["name"]) not in gone
        ]

    def step(self) -> Decision:
        """One pass, carried out."""
        decision = decide(self.view())
        self.roll(decision)
        self.status = told(self, decision)
        return decision

    def edit(self, **spec: Any) -> Decision:
        self.spec = {**self.spec, **spec}
        return self.step()

    def percent(self, value: int) -> Decision:
        return self.edit(rollout={**self.spec["rollout"], "canaryPercent": value})

    @property
    def server(self) -> Object:
        found = self.child("Deployment", "web")
        assert found is not None
        return found

    def child(self, kind: str, name: str = CANARY) -> Object | None:
        found = (each for each in self.children if each["kind"] == kind)
        return next((each for each in found if each["metadata"]["name"] == name), None)

    @property
    def made(self) -> Object:
        found = self.child("Deployment")
        assert found is not None
        return found

    def canary(self, ready: bool = True, **more: Any) -> Object:
        """A pod of the canary as it now is."""
        meta = self.made["spec"]["template"]["metadata"]
        conditions = [{"type": "Ready", "status": str(ready)}]
        return {
            "kind": "Pod",
            "metadata": {**meta, "name": "c-0", "uid": "c-0", "namespace": "default"},
            "status": {"conditions": conditions, **more},
        }

    @property
    def shares(self) -> list[tuple[str, int]]:
        route = self.child("HTTPRoute", "web")
        assert route is not None
        (rule,) = route["spec"]["rules"]
        return [(each["name"], each["weight"]) for each in rule["backendRefs"]]


def args(server: Object) -> list[str]:
    return list(server["spec"]["template"]["spec"]["containers"][0]["args"])


def started(**more: Any) -> Tried:
    """A canary has been made for another flag."""
    servers = Tried(**more)
    servers.edit(**SEED)
    return servers


def serving(**more: Any) -> Tried:
    """And answers."""
    servers = started(**more)
    servers.canaries = [servers.canary()]
    servers.step()
    return servers


def alone(servers: Tried) -> bool:
    """Whether nothing of a canary is left."""
    return servers.child("Deployment") is None and servers.child("Service") is None


# -- as long as it is tried -----------------------------------------------------------------------


def test_the_first_revision_has_no_canary() -> None:
    servers = Tried()
    assert alone(servers)
    assert servers.shares == [("web", 1)]
    assert servers.status["revision"]["current"] == servers.status["revision"]["update"]


def test_a_change_is_tried_by_one_server_and_the_others_stay_as_they_are() -> None:
    servers = Tried()
    before = servers.server["spec"]
    servers.edit(**SEED)
    assert servers.server["spec"] == before
    assert "--seed=1" in args(servers.made)
    assert servers.made["spec"]["replicas"] == 1
    assert servers.shares == [("web", 1)], "no request before it answers"
    state, reason, message = progressing(servers, decide(servers.view()))
    assert (state, reason) == ("True", "RollingOut")
    assert "does not answer yet" in message
    assert "20 %" in message


def test_neither_the_service_nor_the_deployment_of_the_others_selects_it() -> None:
    servers = started()
    pod = servers.made["spec"]["template"]["metadata"]["labels"].items()
    for kind, name, mine in (
        ("Service", "web", False), ("Service", CANARY, True),
        ("Deployment", "web", False), ("Deployment", CANARY, True),
    ):  # fmt: skip
        found = servers.child(kind, name)
        assert found is not None
        selector = found["spec"]["selector"]
        assert (selector.get("matchLabels", selector).items() <= pod) is mine, (kind, name)


def test_it_gets_its_share_once_it_answers_and_loses_it_when_it_does_not() -> None:
    servers = serving()
    assert servers.shares == [("web", 80), (CANARY, 20)]
    assert "gets 20 % of the requests" in progressing(servers, decide(servers.view()))[2]
    servers.canaries = [servers.canary(ready=False)]
    servers.step()
    assert servers.shares == [("web", 1)]
    servers.canaries[0] = servers.canary()
    servers.canaries[0]["metadata"]["deletionTimestamp"] = NOW_TEXT
    servers.step()
    assert servers.shares == [("web", 1)], "one that drains takes no new ones"


def test_another_share_changes_nothing_but_the_route() -> None:
    servers = serving()
    decision = servers.percent(60)
    assert [each.obj["kind"] for each in decision.actions] == ["HTTPRoute"]  # type: ignore[union-attr]
    assert servers.shares == [("web", 40), (CANARY, 60)]


def test_what_is_told_and_that_it_comes_to_rest() -> None:
    servers = serving()
    assert decide(servers.view()).actions == []
    assert servers.status["rollout"]["strategy"] == "Canary"
    revision = servers.status["revision"]
    assert revision["current"] == revision["lastGood"] != revision["update"]
    assert servers.status["updatedReplicas"] == 0
    assert servers.status["plan"] == told(Tried(), decide(Tried().view()))["plan"]
    conditions = {each["type"]: each["status"] for each in servers.status["conditions"]}
    assert (conditions["Ready"], conditions["Available"]) == ("False", "True")
    for way in ("llamactl set web rollout.canaryPercent=0", "llamactl rollout undo web"):
        assert way in servers.status["rollout"]["reason"]


def rolled_before() -> Tried:
    """Servers of their second revision; what is asked for then is the third."""
    servers = Tried(percent=0)
    servers.edit(**SEED)
    servers.pods = [servers.pod("new-0"), servers.pod("new-1")]
    servers.plays()
    servers.percent(20)
    return servers


def test_the_last_good_one_is_that_of_the_servers_and_not_the_one_before_it() -> None:
    servers = rolled_before()
    good = servers.status["revision"]["lastGood"]
    assert good == servers.status["revision"]["current"]
    servers.edit(engine={"args": ["--seed=2"]})
    assert servers.status["revision"]["lastGood"] == good
    servers.pods = [servers.pod("new-0", ready=False)]
    servers.step()
    assert "--seed=1" in args(servers.server), "none answers just now: it was good all the same"
    assert servers.status["revision"]["lastGood"] == good
    servers.percent(0)
    servers.step()
    assert servers.status["revision"]["lastGood"] == good


def test_the_plan_is_that_of_the_servers() -> None:
    servers = Tried()
    servers.edit(sizing={"maxModelLen": 4096})
    assert "--max-model-len=4096" in args(servers.made)
    assert servers.status["plan"]["maxModelLen"] == 131072


def test_what_only_the_canary_mounts_is_there_for_it() -> None:
    servers = Tried()
    servers.edit(lora={"enabled": True}, compileCache={"storage": {}})
    for name in ("web-adapters", "web-compile-cache"):
        assert servers.child("PersistentVolumeClaim", name) is not None
    assert servers.child("ConfigMap", "web-adapters") is not None


def test_adapters_of_servers_stay_where_a_canary_has_none() -> None:
    adapter = {"name": "sql", "source": {"huggingFace": {"repo": "o/sql"}}}
    servers = Tried(lora={"enabled": True}, adapters=[adapter])
    listed = servers.child("ConfigMap", "web-adapters")
    servers.edit(lora={"enabled": False}, adapters=[])
    assert servers.made
    assert servers.child("ConfigMap", "web-adapters") == listed
    assert servers.child("PersistentVolumeClaim", "web-adapters") is not None


def test_everything_that_is_for_servers_is_for_it_as_well() -> None:
    servers = serving()
    servers.edit(podMetadata={"labels": {"team": "a"}})
    labelled = {each.name for each in decide(servers.view()).actions if isinstance(each, Label)}
    assert labelled == {"old-0", "old-1", "c-0"}
    policy = servers.child("NetworkPolicy", "web")
    assert policy is not None
    (within,) = policy["spec"]["podSelector"]["matchExpressions"]
    assert within["values"] == ["server", "canary"]
    silent = {"c-0": Start("importing", 1e6)}
    stuck = decide(servers.view(starts=silent)).stalls
    assert [each.delete.name for each in stuck] == ["c-0"]


def test_the_policy_covers_it_until_its_last_pod_is_gone() -> None:
    servers = serving()
    servers.percent(0)
    assert alone(servers)
    policy = servers.child("NetworkPolicy", "web")
    assert policy is not None and "matchExpressions" in policy["spec"]["podSelector"]
    servers.canaries = []
    servers.step()
    policy = servers.child("NetworkPolicy", "web")
    assert policy is not None and "matchExpressions" not in policy["spec"]["podSelector"]


# -- room for it ----------------------------------------------------------------------------------


def test_without_a_free_gpu_nothing_is_touched_and_it_is_said_how_many_it_needs() -> None:
    servers = Tried(2, 2)
    decision = servers.edit(**SEED)
    assert [each.obj["kind"] for each in decision.actions] == ["ControllerRevision"]  # type: ignore[union-attr]
    state, reason, message = progressing(servers, decision)
    assert (state, reason) == ("False", "WaitingForGPUs")
    assert "0 of 2 GPUs are free" in message
    assert "needs 1 free GPU beside" in message
    assert "rollout.canaryPercent=0" in message
    assert decision.requeue_after == 30
    servers.nodes[0]["status"]["allocatable"]["nvidia.com/gpu"] = "3"
    servers.step()
    assert "--seed=1" in args(servers.made)


def test_gpus_are_counted_before_it_is_made_and_never_while_it_is_there() -> None:
    servers = Tried(rollout={"strategy": "InPlace"})
    assert servers.view().holders is None
    servers.spec |= SEED
    assert servers.view().holders is not None
    servers.step()
    assert servers.view().holders is None
    servers.canaries = [servers.canary()]
    assert servers.view().holders is None


def test_where_gpus_cannot_be_counted_it_is_tried() -> None:
    servers = Tried(2, 2)
    servers.counted = False
    servers.edit(**SEED)
    assert "--seed=1" in args(servers.made)


def test_without_servers_there_is_none_beside_them() -> None:
    servers = serving()
    servers.edit(replicas=0)
    assert alone(servers)
    assert "--seed=1" not in args(servers.server)
    assert "spec.replicas is 0" in progressing(servers, decide(servers.view()))[2]


def test_it_waits_for_the_kind_that_shares_requests_out() -> None:
    servers = Tried()
    servers.served = None
    servers.edit(**SEED)
    assert alone(servers)
    assert "--seed=1" not in args(servers.server)
    assert "see Degraded" in progressing(servers, decide(servers.view()))[2]


def test_weights_that_one_pod_may_mount_are_not_tried_by_a_second() -> None:
    servers = Tried(1, 3)
    servers.spec |= {"storage": {"accessModes": ["ReadWriteOncePod"]}, **SEED}
    copy = ready_weights(deployment(**servers.spec))
    copy["spec"]["storage"] = servers.spec["storage"]
    decision = decide(replace(servers.view(), weights=copy))
    assert not [each for each in decision.desired if each["metadata"]["name"] == CANARY]
    assert "ReadWriteOncePod" in progressing(servers, decision)[2]


@pytest.mark.parametrize(
    "spec",
    [
        {"rollout": {"canaryPercent": 100}},
        {"endpoint": {"httpRoute": None}},
        {"endpoint": {"routing": "PrefixAware"}},
        {"autoscaling": {"minReplicas": 0}},
    ],
    ids=["all", "no-route", "pool", "to-zero"],
)
def test_what_cannot_be_tried_is_rolled_out(spec: Object) -> None:
    servers = Tried(**spec)
    servers.edit(**SEED)
    assert alone(servers)
    assert "--seed=1" in args(servers.server)


def test_several_nodes_are_refused_with_the_way_out() -> None:
    servers = Tried()
    group = {**servers.server["spec"]["template"], WORKER: {}}
    group["metadata"] = {**group["metadata"], "annotations": {}}
    course = rollout.course(servers.view(), "web-other", group, 16)
    assert course.canary is None
    assert course.template == servers.server["spec"]["template"]
    assert "set spec.rollout.canaryPercent to 0" in course.refused


# -- for all, or not at all -----------------------------------------------------------------------


def test_promoted_the_route_goes_back_first_and_its_gpus_are_for_the_rollout() -> None:
    servers = serving()
    decision = servers.percent(0)
    kinds = [type(each).__name__ for each in decision.actions]
    assert kinds == ["Apply", "Delete", "Delete"], "no request may go to what is deleted"
    assert servers.shares == [("web", 1)]
    assert alone(servers)
    assert "--seed=1" not in args(servers.server)
    assert "The canary stops" in progressing(servers, decision)[2]
    assert servers.view().holders is None
    servers.canaries = []
    servers.step()
    assert "--seed=1" in args(servers.server)
    assert servers.status["rollout"]["strategy"] == "Surge"


def test_a_canary_that_never_goes_is_not_waited_for_beyond_its_time() -> None:
    servers = serving()
    servers.percent(0)
    servers.canaries[0]["metadata"]["deletionTimestamp"] = NOW_TEXT
    servers.step()
    assert "--seed=1" not in args(servers.server)
    later = world(nodes=servers.nodes, routes=("v1",), now=NOW + timedelta(seconds=31))
    servers.roll(decide(servers.view(world=later)))
    assert "--seed=1" in args(servers.server)


@pytest.mark.parametrize("how", ["spec", "undo"])
def test_going_back_removes_it_and_touches_no_server(how: str) -> None:
    servers = serving()
    before, good = servers.server, servers.status["revision"]["lastGood"]
    if how == "spec":
        servers.edit(engine={})
    else:
        servers.edit(rollout={"canaryPercent": 20, "undoTo": good})
    assert alone(servers)
    assert servers.shares == [("web", 1)]
    assert servers.server == before
    servers.canaries = []
    servers.step()
    assert decide(servers.view()).actions == []
    assert progressing(servers, decide(servers.view()))[1] == "RolloutComplete"


def test_an_earlier_revision_is_gone_back_to_at_once() -> None:
    servers = Tried(percent=0)
    first = servers.status["revision"]["lastGood"]
    servers.edit(**SEED)
    servers.pods = [servers.pod("new-0"), servers.pod("new-1")]
    servers.plays()
    servers.edit(rollout={"canaryPercent": 20, "undoTo": first})
    assert alone(servers)
    assert "--seed=1" not in args(servers.server)


def test_taken_back_in_the_middle_of_a_rollout_it_goes_back_at_once() -> None:
    servers = Tried(percent=0)
    servers.edit(**SEED)
    servers.pods[0] = servers.pod("new-0")
    servers.spec["rollout"] = {"canaryPercent": 20}
    servers.edit(engine={})
    assert alone(servers)
    assert "--seed=1" not in args(servers.server)


def test_another_change_is_tried_after_the_one_before_has_stopped() -> None:
    servers = serving()
    servers.edit(engine={"args": ["--seed=2"]})
    assert alone(servers)
    assert servers.shares == [("web", 1)]
    servers.step()
    assert alone(servers), "its pod holds the GPU"
    servers.canaries = []
    servers.step()
    assert "--seed=2" in args(servers.made)
    assert "--seed" not in str(args(servers.server))


# -- one that fails -------------------------------------------------------------------------------


def failed(**more: Any) -> Tried:
    servers = started(**more)
    box = {"ready": False, **ended(2, message=BAD_FLAG)}
    servers.canaries = [servers.canary(ready=False, containerStatuses=[box])]
    return servers


def test_what_fails_for_good_is_rejected_and_no_server_was_touched() -> None:
    servers = failed()
    before = servers.server["spec"]
    decision = servers.step()
    assert alone(servers)
    assert servers.server["spec"]["template"] == before["template"]
    assert servers.shares == [("web", 1)]
    state, reason, message = progressing(servers, decision)
    assert (state, reason) == ("False", "RevisionRejected")
    assert "unrecognized arguments: --seeed=1" in message
    revision = servers.status["revision"]
    assert revision["rejected"] == revision["update"] != revision["lastGood"]
    servers.canaries = []
    servers.step()
    assert decide(servers.view()).actions == [], "not tried again until the spec changes"
    servers.percent(0)
    assert "--seed=1" not in args(servers.server), "nor for all of them"
    servers.percent(20)
    servers.edit(engine={"args": ["--seed=2"]})
    assert "--seed=2" in args(servers.made)


def test_one_that_answered_is_rejected_as_well() -> None:
    servers = serving()
    box = {"ready": False, **ended(2, message=BAD_FLAG)}
    servers.canaries = [servers.canary(ready=False, containerStatuses=[box])]
    assert progressing(servers, servers.step())[1] == "RevisionRejected"


def test_beyond_its_budget_it_is_rejected() -> None:
    servers = started()
    servers.canaries = [servers.canary(ready=False)]
    servers.made["metadata"]["generation"] = 1
    servers.made["status"] = {"observedGeneration": 1, "conditions": LATE}
    assert "StartupTimeout" in progressing(servers, servers.step())[2]
    assert alone(servers)


def test_without_automatic_rollback_it_stays_and_gets_no_request() -> None:
    servers = failed(rollout={"automaticRollback": False})
    decision = servers.step()
    assert "--seed=1" in args(servers.made)
    assert servers.shares == [("web", 1)]
    assert "does not answer yet (" in progressing(servers, decision)[2]


@pytest.mark.parametrize("how", ["start", "promote", "undo", "reject"])
@pytest.mark.parametrize("cut", range(6))
def test_a_crash_anywhere_ends_the_same(how: str, cut: int) -> None:
    def world_of(cut: int | None) -> Tried:
        servers = {"start": Tried, "reject": failed}.get(how, serving)()
        if how == "start":
            servers.spec |= SEED
        elif how == "promote":
            servers.spec["rollout"] = {"canaryPercent": 0}
        elif how == "undo":
            servers.spec["engine"] = {}
        if cut is not None:
            decision = decide(servers.view())
            del decision.actions[cut:]
            servers.roll(decision)
        servers.step()
        servers.canaries = []
        for _ in range(3):
            servers.step()
        return servers

    def lasting(servers: Tried) -> dict[tuple[str, str], Object]:
        found = {(each["kind"], each["metadata"]["name"]): each for each in servers.children}
        return {key: {**each, "status": {}} for key, each in found.items()}

    assert lasting(world_of(cut)) == lasting(world_of(None))


# -- disturbed ------------------------------------------------------------------------------------


def test_servers_that_were_removed_come_back_as_they_were() -> None:
    servers = serving()
    servers.children = [each for each in servers.children if each is not servers.server]
    servers.step()
    assert "--seed=1" not in args(servers.server)
    assert "--seed=1" in args(servers.made)


def test_servers_that_were_removed_come_back_before_one_is_made_beside_them() -> None:
    servers = Tried()
    servers.children = [each for each in servers.children if each is not servers.server]
    servers.edit(**SEED)
    assert "--seed=1" not in args(servers.server)
    assert alone(servers), "it would take their GPUs"
    servers.step()
    assert "--seed=1" in args(servers.made)


def test_the_revision_that_they_come_back_to_is_kept() -> None:
    servers = serving(rollout={"historyLimit": 0})
    good = servers.status["revision"]["lastGood"]
    servers.children = [each for each in servers.children if each is not servers.server]
    servers.step()
    assert servers.child(revisions.KIND, good) is not None


def test_servers_of_a_revision_that_cannot_be_read_stay_as_they_are() -> None:
    servers = Tried()
    for each in servers.children:
        if each["kind"] == revisions.KIND:
            each["packed"] = b"of another version"
    before = servers.server["spec"]["template"]
    servers.edit(**SEED)
    assert servers.server["spec"]["template"] == before
    assert "--seed=1" in args(servers.made)


def test_a_half_rolled_revision_that_never_answered_is_gone_back_from() -> None:
    servers = Tried(percent=0)
    good = args(servers.server)
    servers.edit(**SEED)
    assert "--seed=1" in args(servers.server)
    servers.percent(20)
    assert "--seed=1" in args(servers.server), "it is on its way"
    servers.edit(engine={"args": ["--seed=2"]})
    assert args(servers.server) == good
    assert "--seed=2" in args(servers.made)


def test_paused_nothing_changes() -> None:
    servers = serving()
    servers.spec = {**servers.spec, "paused": True, "engine": {"args": ["--seed=3"]}}
    assert decide(servers.view()).actions == []


def test_all_that_is_left_alone_by_rollouts_without_one_is_so() -> None:
    """Neither a policy nor a route knows the word before there is a canary."""
    servers = Tried(percent=0)
    with_share = Tried(percent=20)
    names = [(each["kind"], each["metadata"]["name"]) for each in servers.children]
    assert [(each["kind"], each["metadata"]["name"]) for each in with_share.children] == names
    for one, other in zip(servers.children, with_share.children, strict=True):
        assert one.get("spec") == other.get("spec")
        assert labels.TRIED not in str(one.get("spec"))


def test_revisions_that_are_needed_are_kept() -> None:
    servers = serving(rollout={"historyLimit": 0})
    kept = {each["metadata"]["name"] for each in servers.children if each["kind"] == revisions.KIND}
    told_of = servers.status["revision"]
    assert kept == {told_of["current"], told_of["update"]}
