"""What a Job's end, or its failure to start, says of the LlamaWeights."""

from typing import Any

import pytest
from tests.support.builders import DIGEST, weights, weights_view
from tests.unit.reconcile.test_decide_weights import ENDED, accessible, ended, job_of, pod

from llama_operator.reconcile import status_weights
from llama_operator.reconcile.actions import Delete
from llama_operator.reconcile.decide_weights import decide
from llama_operator.reconcile.outcome import RETRY_SECONDS

Object = dict[str, Any]


@pytest.mark.parametrize(
    ("kind", "reason"), [("Converted", "FormatUnsupported"), ("Verified", "ChecksumMismatch")]
)
def test_what_the_preflight_finds_beyond_access_is_told_under_its_own_condition(
    kind: str, reason: str
) -> None:
    job = job_of(decide(weights_view()))
    result = {"ok": False, "condition": kind, "reason": reason, "message": "m"}
    view = weights_view(children=[ended(job, "Failed")], pods=(pod(result, 1),))
    status = status_weights.build(view, decide(view), None, ENDED)
    found = {entry["type"]: (entry["status"], entry["reason"]) for entry in status["conditions"]}
    assert found[kind] == ("False", reason)
    assert found["Accessible"] == ("True", "Authorized")
    assert found["Ready"] == ("False", reason)


def test_asking_again_does_not_take_the_answer_back() -> None:
    """Conditions that flip with every attempt are writes and events for ever."""
    job = job_of(decide(weights_view()))
    result = {"ok": False, "reason": "LicenceNotAccepted", "message": "m"}
    failed = weights_view(children=[ended(job, "Failed")], pods=(pod(result, 1),))
    status = status_weights.build(failed, decide(failed), None, ENDED)
    raw = weights(status=status)
    for children in ([], [{**job, "metadata": {**job["metadata"], "uid": "uid-next"}}]):
        view = weights_view(raw, children)
        assert status_weights.build(view, decide(view), None, "2030-01-01T00:00:00Z") == status
    edited = weights(status=status, meta={"generation": 2})
    assert decide(weights_view(edited)).conditions["Accessible"].reason == "Checking"


@pytest.mark.parametrize("lacking", ["commit", "bytes", "shape"])
def test_a_preflight_without_its_result_is_not_believed_and_tried_again(lacking: str) -> None:
    job = job_of(decide(weights_view()))
    result = {"ok": True, **{key: value for key, value in accessible().items() if key != lacking}}
    decision = decide(weights_view(children=[ended(job)], pods=(pod(result),)))
    assert decision.conditions["Accessible"].status == "False"
    assert lacking in decision.conditions["Accessible"].message
    assert lacking not in decision.facts
    assert decision.requeue_after == RETRY_SECONDS


def test_a_result_of_a_job_that_failed_is_not_believed() -> None:
    job = job_of(decide(weights_view()))
    view = weights_view(
        children=[ended(job, "Failed")], pods=(pod({"ok": True, **accessible()}, 137),)
    )
    assert "commit" not in decide(view).facts


def test_an_evicted_pod_does_not_hide_the_result_of_the_next() -> None:
    raw = weights(status=accessible())
    job = job_of(decide(weights_view(raw)))
    evicted = {
        "metadata": {"name": "e", "ownerReferences": [{"uid": "uid-job"}]},
        "status": {"phase": "Failed"},
    }
    result = {"ok": True, "digest": DIGEST, "bytes": 16, "files": 12, "format": "safetensors"}
    view = weights_view(raw, [ended(job)], pods=(evicted, pod(result)))
    assert decide(view).facts["digest"] == DIGEST


@pytest.mark.parametrize("status", [None, accessible()])
def test_a_job_that_cannot_start_says_why(status: Object | None) -> None:
    raw = weights(status=status)
    job = job_of(decide(weights_view(raw)))
    running = {**job, "metadata": {**job["metadata"], "uid": "uid-job"}}
    state = {"image": "no/such:1", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    stuck = {
        "metadata": {"name": "p", "ownerReferences": [{"uid": "uid-job"}]},
        "status": {"phase": "Pending", "containerStatuses": [state]},
    }
    view = weights_view(raw, [running], pods=(stuck,))
    ready = status_weights.build(view, decide(view), None, ENDED)["conditions"][0]
    assert "no/such:1" in ready["message"]
    assert "--weights-image" in ready["message"]


def test_a_corrected_placement_replaces_a_job_that_no_node_takes() -> None:
    first = job_of(decide(weights_view()))
    there = {**first, "metadata": {**first["metadata"], "uid": "uid-job"}}
    tolerating = weights(fetch={"tolerations": [{"operator": "Exists"}]})
    decision = decide(weights_view(tolerating, [there]))
    assert Delete("Job", "default", first["metadata"]["name"], "uid-job") in decision.actions
    pod_spec = job_of(decision)["spec"]["template"]["spec"]
    assert pod_spec["tolerations"] == [{"operator": "Exists"}]
