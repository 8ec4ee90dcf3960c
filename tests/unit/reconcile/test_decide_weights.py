import json
from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import COMMIT, DIGEST, NOW, weights, weights_view, world
from tests.unit.reconcile.test_results import SHAPE

from llama_operator.api import labels
from llama_operator.reconcile import status_weights
from llama_operator.reconcile.actions import Apply, ClearProgress, Delete, SetFinalizer
from llama_operator.reconcile.decide_weights import decide
from llama_operator.reconcile.findings import WeightsDecision
from llama_operator.reconcile.outcome import RETRY_SECONDS
from llama_operator.reconcile.snapshot import SecretView

Object = dict[str, Any]
ENDED = "2026-01-01T12:00:00Z"


def applied(decision: WeightsDecision) -> list[Object]:
    return [action.obj for action in decision.actions if isinstance(action, Apply)]


def kinds(decision: WeightsDecision) -> list[str]:
    return [obj["kind"] for obj in applied(decision)]


def job_of(decision: WeightsDecision) -> Object:
    return next(obj for obj in applied(decision) if obj["kind"] == "Job")


def ended(job: Object, how: str = "Complete") -> Object:
    condition = {"type": how, "status": "True", "lastTransitionTime": ENDED}
    meta = {**job["metadata"], "uid": "uid-job"}
    return {**job, "metadata": meta, "status": {"conditions": [condition]}}


def pod(result: Object, code: int = 0) -> Object:
    state = {"terminated": {"finishedAt": ENDED, "exitCode": code, "message": json.dumps(result)}}
    meta = {"name": "p", "ownerReferences": [{"uid": "uid-job"}]}
    return {"metadata": meta, "status": {"containerStatuses": [{"state": state}]}}


def accessible() -> Object:
    return {"commit": COMMIT, "bytes": 16_000_000_000, "files": 12, "shape": SHAPE}


def test_first_a_preflight_without_volume_or_rights() -> None:
    decision = decide(weights_view())
    assert kinds(decision) == ["Job"]
    job = job_of(decision)
    template = job["spec"]["template"]["spec"]
    assert template["automountServiceAccountToken"] is False
    assert [volume["name"] for volume in template["volumes"]] == ["tmp"]
    assert "--repo=meta-llama/Llama-3.1-8B-Instruct" in template["containers"][0]["args"]


def test_the_preflights_result_goes_to_the_status_and_the_fetch_follows() -> None:
    job = job_of(decide(weights_view()))
    result = {"ok": True, **accessible()}
    decision = decide(weights_view(children=[ended(job)], pods=(pod(result),)))
    assert decision.actions == [], "the Job is kept until its result stands in the status"
    assert decision.facts["commit"] == COMMIT
    assert decision.facts["shape"] == SHAPE


def test_the_fetch_gets_a_claim_of_the_right_size_and_rights_to_one_status() -> None:
    decision = decide(weights_view(weights(status=accessible())))
    assert kinds(decision) == [
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "PersistentVolumeClaim",
        "Job",
    ]
    role, claim = applied(decision)[1], applied(decision)[3]
    assert role["rules"] == [
        {
            "apiGroups": ["llamactl.dev"],
            "resources": ["llamaweights/status"],
            "resourceNames": ["w"],
            "verbs": ["get", "patch"],
        }
    ]
    assert claim["spec"]["resources"]["requests"]["storage"].endswith("Mi")
    args = job_of(decision)["spec"]["template"]["spec"]["containers"][0]["args"]
    assert f"--commit={COMMIT}" in args
    assert decision.facts["path"].startswith("llama-3.1-8b-instruct/")


def test_two_commits_never_share_a_directory() -> None:
    one = decide(weights_view(weights(status=accessible()))).facts["path"]
    two = decide(weights_view(weights(status={**accessible(), "commit": "e" * 40}))).facts["path"]
    assert one != two


def test_a_finished_fetch_is_published_and_only_then_its_job_deleted() -> None:
    raw = weights(status=accessible())
    made = applied(decide(weights_view(raw)))
    job = ended(next(obj for obj in made if obj["kind"] == "Job"))
    children = [obj for obj in made if obj["kind"] == "PersistentVolumeClaim"] + [job]
    result = {"ok": True, "digest": DIGEST, "bytes": 16, "files": 12, "format": "safetensors"}
    decision = decide(weights_view(raw, children, pods=(pod(result),)))
    assert not [action for action in decision.actions if isinstance(action, Delete)]
    status = status_weights.build(weights_view(raw), decision, None, ENDED)
    assert status["digest"] == DIGEST
    assert status["conditions"][0]["reason"] == "Published"
    done = decide(weights_view(weights(status={**status, "progress": {"phase": "x"}}), children))
    assert Delete("Job", "default", job["metadata"]["name"], "uid-job") in done.actions
    assert ClearProgress("default", "w") in done.actions


@pytest.mark.parametrize(
    ("result", "kind", "reason"),
    [
        ({"ok": False, "reason": "TokenMissing", "message": "m"}, "Accessible", "TokenMissing"),
        (
            {"ok": False, "reason": "LicenceNotAccepted", "message": "m"},
            "Accessible",
            "LicenceNotAccepted",
        ),
    ],
)
def test_a_refusal_of_the_hub_is_said_and_tried_again_later(
    result: Object, kind: str, reason: str
) -> None:
    job = job_of(decide(weights_view()))
    children, pods = [ended(job, "Failed")], (pod(result, 1),)
    decision = decide(weights_view(children=children, pods=pods))
    assert (decision.conditions[kind].status, decision.conditions[kind].reason) == ("False", reason)
    assert decision.actions == []
    assert decision.requeue_after == RETRY_SECONDS
    later = world(now=NOW + timedelta(seconds=RETRY_SECONDS))
    again = decide(weights_view(children=children, pods=pods, world=later))
    assert [type(action) for action in again.actions] == [Delete]


def test_a_full_volume_is_the_volumes_fault() -> None:
    raw = weights(status=accessible())
    job = job_of(decide(weights_view(raw)))
    result = {"ok": False, "condition": "VolumeReady", "reason": "Full", "message": "no space"}
    decision = decide(weights_view(raw, [ended(job, "Failed")], pods=(pod(result, 1),)))
    assert decision.conditions["VolumeReady"].reason == "Full"
    assert decision.conditions["Downloaded"].reason == "Failed"


def test_a_storage_class_that_does_not_exist_makes_no_claim() -> None:
    raw = weights(status=accessible(), storage={"storageClassName": "nope"})
    decision = decide(weights_view(raw))
    assert decision.conditions["VolumeReady"].reason == "StorageClassMissing"
    assert "standard" in decision.conditions["VolumeReady"].message
    assert applied(decision) == []


def test_no_default_class_is_said() -> None:
    decision = decide(weights_view(weights(status=accessible()), world=world(storage_classes=())))
    assert decision.conditions["VolumeReady"].reason == "StorageClassMissing"
    assert applied(decision) == []


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (SecretView("hf"), "there is no Secret 'hf'"),
        (SecretView("hf", True, frozenset({"x"})), "has no entry 'token'"),
    ],
)
def test_a_named_token_that_is_missing_makes_no_job(token: SecretView, words: str) -> None:
    raw = weights(source={"huggingFace": {"tokenSecretRef": {"name": "hf"}}})
    decision = decide(weights_view(raw, token=token))
    assert decision.conditions["Accessible"].reason == "SecretMissing"
    assert words in decision.conditions["Accessible"].message
    assert decision.actions == []
    assert decision.requeue_after


def test_the_shared_token_goes_to_the_operators_own_endpoint_only() -> None:
    def names(raw: Object) -> list[str]:
        container = job_of(decide(weights_view(raw)))["spec"]["template"]["spec"]["containers"][0]
        return [entry["name"] for entry in container["env"]]

    assert "HF_TOKEN" in names(weights())
    elsewhere = weights(source={"huggingFace": {"endpoint": "https://mirror.example.com"}})
    assert "HF_TOKEN" not in names(elsewhere)


def test_use_is_counted_and_held_by_a_finalizer() -> None:
    decision = decide(weights_view(users=("a", "b")))
    assert SetFinalizer("default", "w", "uid-w", present=True) in decision.actions
    status = status_weights.build(weights_view(users=("a", "b")), decision, None, ENDED)
    assert (status["usedBy"], status["usedByCount"]) == (["a", "b"], 2)
    held = weights(meta={"finalizers": [labels.FINALIZER]})
    assert (
        SetFinalizer("default", "w", "uid-w", present=False) in decide(weights_view(held)).actions
    )


def test_an_unused_copy_is_deleted_after_its_grace_and_not_before() -> None:
    kept = {"digest": DIGEST, "unusedSince": "2026-01-01T11:30:00Z"}
    spec: Object = {"retention": {"policy": "Delete", "afterUnused": "1h"}}
    early = decide(weights_view(weights(status=kept, **spec)))
    assert early.requeue_after == 1800
    assert early.actions == []
    late = decide(
        weights_view(weights(status=kept, **spec), world=world(now=NOW + timedelta(hours=1)))
    )
    assert late.actions == [Delete("LlamaWeights", "default", "w", "uid-w")]


def test_a_retained_copy_stays() -> None:
    kept = {"digest": DIGEST, "unusedSince": "2020-01-01T00:00:00Z"}
    assert decide(weights_view(weights(status=kept))).actions == []


def test_an_unchanged_status_is_equal_to_the_last_one() -> None:
    raw = weights()
    first = status_weights.build(weights_view(raw), decide(weights_view(raw)), None, ENDED)
    again = weights_view({**raw, "status": first})
    second = status_weights.build(again, decide(again), None, "2030-01-01T00:00:00Z")
    assert first == second, "a status that moves by itself is a write for ever"
