from typing import Any

import pytest
from tests.support.builders import deployment, deployment_view, ready_weights
from tests.unit.diagnose.test_pods import ended, pod, waiting

from llama_operator.api import labels
from llama_operator.reconcile import status
from llama_operator.reconcile.actions import Apply, Failure
from llama_operator.reconcile.decide import decide
from llama_operator.reconcile.snapshot import DeploymentView, SecretView

Object = dict[str, Any]
THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
KEY = SecretView("web-api-key", True, frozenset({"default"}), frozenset({"uid-web"}))
ORDER = ["Ready", "Planned", "WeightsReady", "Available", "Progressing", "Degraded"]
QUOTA = 'pods "web-5d4f-x2x9k" is forbidden: exceeded quota: q, requested: pods=1'


def children(raw: Object, **live: Any) -> list[Object]:
    """The children as they should be, with this status of the Deployment."""
    view = deployment_view(raw, weights=ready_weights(raw), key=KEY)
    made = [action.obj for action in decide(view).actions if isinstance(action, Apply)]
    for obj in made:
        obj["metadata"] |= {"uid": obj["kind"], "generation": 1}
    made[-1]["status"] = {"observedGeneration": 1, **live}
    return made


def running(raw: Object, replicas: int = 1, ready: int | None = None, **more: Any) -> list[Object]:
    answers = replicas if ready is None else ready
    counts = {"replicas": replicas, "readyReplicas": answers, "updatedReplicas": replicas}
    return children(raw, **{**counts, **more})


def snapshot(raw: Object, made: list[Object] | None = None, **change: Any) -> DeploymentView:
    values = {"weights": ready_weights(raw), "key": KEY, **change}
    return deployment_view(raw, made, **values)


def built(view: DeploymentView, failure: Failure | None = None) -> Object:
    return status.build(view, decide(view), failure, NOW)


def conditions(view: DeploymentView, failure: Failure | None = None) -> dict[str, Object]:
    return {entry["type"]: entry for entry in built(view, failure)["conditions"]}


def said(view: DeploymentView, kind: str, failure: Failure | None = None) -> tuple[str, str]:
    found = conditions(view, failure)[kind]
    return found["status"], found["reason"]


def of_this_template(made: list[Object], trouble: Object) -> Object:
    """The pod, as made from the Deployment's present template."""
    stamp = made[-1]["spec"]["template"]["metadata"]["annotations"][labels.INTENT_HASH]
    return {
        **trouble,
        "metadata": {**trouble["metadata"], "annotations": {labels.INTENT_HASH: stamp}},
    }


def test_all_conditions_are_there_in_their_order() -> None:
    raw = deployment()
    assert [entry["type"] for entry in built(snapshot(raw))["conditions"]] == ORDER


def test_when_all_is_well() -> None:
    raw = deployment()
    view = snapshot(raw, running(raw))
    assert [(kind, *said(view, kind)) for kind in ORDER] == [
        ("Ready", "True", "Serving"),
        ("Planned", "True", "Fits"),
        ("WeightsReady", "True", "Ready"),
        ("Available", "True", "MinimumReplicasReady"),
        ("Progressing", "True", "RolloutComplete"),
        ("Degraded", "False", "Healthy"),
    ]


def test_what_stands_beside_the_conditions() -> None:
    raw = deployment(endpoint={"port": 80, "servedModelName": "llama"})
    found = built(snapshot(raw, running(raw)))
    assert (found["replicas"], found["readyReplicas"], found["updatedReplicas"]) == (1, 1, 1)
    assert found["selector"] == "llamactl.dev/deployment=web,app.kubernetes.io/component=server"
    assert found["endpoint"] == {
        "url": "http://web.default.svc:80/v1",
        "servedModelName": "llama",
        "secretName": "web-api-key",
    }
    assert found["weights"]["digest"].startswith("sha256:")
    assert found["plan"]["tensorParallel"] == 1


# -- Ready: the first unmet condition ------------------------------------------------------------


def test_ready_repeats_the_first_unmet_condition() -> None:
    refused = deployment(gpu={"count": 3})
    assert said(snapshot(refused, weights=None), "Ready") == ("False", "InvalidParallelism")
    pending = deployment()
    assert said(snapshot(pending, weights=None), "Ready") == ("False", "Pending")
    unknown = deployment(model="someone/llama-ft")
    assert said(snapshot(unknown, weights=None), "Ready") == ("Unknown", "WaitingForShape")


def test_ready_prefers_the_cause_to_no_replica_ready() -> None:
    raw = deployment()
    made = running(raw, ready=0)
    assert said(snapshot(raw, made), "Ready") == ("False", "NoReplicaReady")
    broken = of_this_template(made, pod(waiting("ErrImagePull", image="x")))
    assert said(snapshot(raw, made, pods=(broken,)), "Ready") == ("False", "ImagePullFailed")


def test_ready_is_false_while_something_is_degraded_though_all_answer() -> None:
    raw = deployment()
    failure = Failure("AdmissionRefused", "no")
    assert said(snapshot(raw, running(raw)), "Ready", failure) == ("False", "AdmissionRefused")


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        ({"replicas": 3, "readyReplicas": 3, "updatedReplicas": 1}, "RollingOut"),
        ({"replicas": 3, "readyReplicas": 2, "updatedReplicas": 3}, "Starting"),
        ({"replicas": 4, "readyReplicas": 4, "updatedReplicas": 4}, "RollingOut"),
    ],
)
def test_ready_waits_for_the_rollout(live: Object, reason: str) -> None:
    raw = deployment(replicas=3)
    view = snapshot(raw, children(raw, **live))
    assert said(view, "Available") == ("True", "MinimumReplicasReady")
    assert said(view, "Ready") == ("False", reason)


# -- Available -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "most", "floor"),
    [
        (1, 1, 1), (3, 1, 2), (3, 5, 1), (3, 0, 3), (3, "50%", 1), (4, "50%", 2), (10, "25%", 7),
        (10, "0%", 10), (10, "100%", 1),
    ],
)  # fmt: skip
def test_available_is_a_floor(replicas: int, most: int | str, floor: int) -> None:
    raw = deployment(replicas=replicas, disruption={"maxUnavailable": most})
    enough = snapshot(raw, running(raw, replicas, floor))
    assert said(enough, "Available") == ("True", "MinimumReplicasReady")
    short = snapshot(raw, running(raw, replicas, floor - 1))
    assert said(short, "Available") == ("False", "NoReplicaReady")


def test_no_replica_is_wanted() -> None:
    raw = deployment(replicas=0)
    view = snapshot(raw, running(raw, 0))
    assert said(view, "Available") == ("True", "ScaledToZero")
    assert said(view, "Ready") == ("True", "ScaledToZero")
    leaving = snapshot(raw, running(raw, 2))
    assert said(leaving, "Ready") == ("False", "RollingOut")
    assert "removed" in conditions(leaving)["Progressing"]["message"]


# -- Progressing ---------------------------------------------------------------------------------


def test_before_there_are_servers() -> None:
    raw = deployment()
    assert said(snapshot(raw, weights=None), "Progressing") == ("Unknown", "Starting")


def test_paused_is_said_and_keeps_ready_from_being_true() -> None:
    raw = deployment(paused=True)
    made = running(deployment())
    assert said(snapshot(raw, made), "Progressing") == ("False", "Paused")
    assert said(snapshot(raw, made), "Ready") == ("False", "Paused")


def test_an_older_generation_of_the_deployment_is_a_rollout() -> None:
    raw = deployment()
    made = running(raw)
    made[-1]["metadata"]["generation"] = 2
    assert said(snapshot(raw, made), "Progressing") == ("True", "RollingOut")


def test_a_stall_of_the_generation_before_is_no_news() -> None:
    raw = deployment()
    stalled = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]
    made = running(raw, ready=0, conditions=stalled)
    assert said(snapshot(raw, made), "Progressing") == ("False", "StartupStalled")
    made[-1]["metadata"]["generation"] = 2
    assert said(snapshot(raw, made), "Progressing") == ("True", "RollingOut")


def test_a_pod_that_no_node_takes_waits_for_gpus() -> None:
    raw = deployment()
    made = running(raw, ready=0)
    nowhere = [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes"}]
    view = snapshot(raw, made, pods=(of_this_template(made, pod(conditions=nowhere)),))
    assert said(view, "Progressing") == ("False", "WaitingForGPUs")
    assert said(view, "Degraded") == ("True", "Unschedulable")


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        ({"gpu": {"count": 3}}, {}),
        ({"model": "llama-3.2-3b-instruct"}, {"weights": None}),
    ],
)
def test_a_spec_that_is_not_served_never_says_that_its_rollout_is_complete(
    spec: Object, change: Object
) -> None:
    made = running(deployment())
    view = snapshot(deployment(**spec), made, **change)
    assert said(view, "Progressing") == ("Unknown", "RollingOut")
    assert said(view, "Available") == ("True", "MinimumReplicasReady"), "the old servers answer"
    assert said(view, "Ready")[0] == "False"


def test_a_key_that_goes_missing_does_not_call_the_servers_old() -> None:
    raw = deployment(auth={"secretName": "mine"})
    there = SecretView("mine", True, frozenset({"default"}))
    view = deployment_view(raw, weights=ready_weights(raw), key=there)
    made = [action.obj for action in decide(view).actions if isinstance(action, Apply)]
    made[-1]["metadata"]["generation"] = 1
    made[-1]["status"] = {
        "observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1,
    }  # fmt: skip
    gone = snapshot(raw, made, key=SecretView("mine"))
    assert said(gone, "Progressing") == ("True", "RolloutComplete")
    assert said(gone, "Degraded") == ("True", "SecretMissing")
    assert said(gone, "Ready") == ("False", "SecretMissing")


# -- Degraded ------------------------------------------------------------------------------------


def test_degraded_tells_the_nearest_cause_first() -> None:
    raw = deployment(auth={"secretName": "mine"})
    limits = [{"type": "ReplicaFailure", "status": "True", "message": QUOTA}]
    made = running(raw, ready=0, conditions=limits)
    crashed = of_this_template(made, pod(ended(1, message="ValueError: no")))
    full: Object = {"pods": (crashed,), "key": SecretView("mine")}
    failure = Failure("AdmissionRefused", "policy")
    assert said(snapshot(raw, made, **full), "Degraded", failure) == ("True", "AdmissionRefused")
    assert said(snapshot(raw, made, **full), "Degraded") == ("True", "SecretMissing")
    keyed = {**full, "key": SecretView("mine", True, frozenset({"default"}))}
    assert said(snapshot(raw, made, **keyed), "Degraded") == ("True", "CrashLooping")
    alone = {**keyed, "pods": ()}
    assert said(snapshot(raw, made, **alone), "Degraded") == ("True", "QuotaExceeded")


def test_a_refused_pod_is_named_without_its_random_name() -> None:
    raw = deployment()
    psa = 'pods "web-5d4f-aaaaa" is forbidden: violates PodSecurity "restricted:latest"'
    for text, reason in ((QUOTA, "QuotaExceeded"), (psa, "AdmissionRefused")):
        refused = [{"type": "ReplicaFailure", "status": "True", "message": text}]
        view = snapshot(raw, running(raw, 0, conditions=refused))
        assert said(view, "Degraded") == ("True", reason)
        assert "web-5d4f" not in conditions(view)["Degraded"]["message"]


def test_a_pod_of_an_older_template_is_not_the_cause() -> None:
    raw = deployment()
    made = running(raw, ready=0)
    old = pod(ended(137, "OOMKilled"), annotations={labels.INTENT_HASH: "before"})
    assert said(snapshot(raw, made, pods=(old,)), "Degraded") == ("False", "Healthy")
    new = of_this_template(made, pod(ended(137, "OOMKilled")))
    assert said(snapshot(raw, made, pods=(old, new)), "Degraded") == ("True", "OutOfMemory")
