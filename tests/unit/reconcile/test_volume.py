from typing import Any

from tests.support.builders import DIGEST, weights, weights_view
from tests.unit.reconcile.test_decide_weights import accessible, applied, job_of

from llama_operator.reconcile import status_weights
from llama_operator.reconcile.decide_weights import decide
from llama_operator.reconcile.findings import WeightsDecision

Object = dict[str, Any]


def claim(size: str, asked: str = "", name: str = "w", phase: str = "Bound") -> Object:
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default", "uid": "uid-claim"},
        "spec": {"resources": {"requests": {"storage": asked or size}}},
        "status": {"phase": phase, "capacity": {"storage": size}},
    }


def wanted(decision: WeightsDecision) -> str:
    found = [obj for obj in applied(decision) if obj["kind"] == "PersistentVolumeClaim"]
    return str(found[0]["spec"]["resources"]["requests"]["storage"]) if found else ""


def volume(decision: WeightsDecision) -> tuple[str, str]:
    found = decision.conditions["VolumeReady"]
    return found.status, found.reason


def test_a_size_that_cannot_be_enough_makes_neither_claim_nor_job() -> None:
    decision = decide(weights_view(weights(status=accessible(), storage={"size": "1Gi"})))
    assert volume(decision) == ("False", "TooSmall")
    assert "spec.storage.size" in decision.conditions["VolumeReady"].message
    assert applied(decision) == []


def test_a_claim_that_is_too_small_grows_with_the_spec_and_the_fetch_goes_on() -> None:
    raw = weights(status=accessible(), storage={"size": "30Gi"})
    decision = decide(weights_view(raw, [claim("1Gi")]))
    assert volume(decision) == ("False", "TooSmall")
    assert wanted(decision) == "30Gi"
    growing = decide(weights_view(raw, [claim("1Gi", asked="30Gi")]))
    assert volume(growing) == ("False", "WaitingForConsumer")
    assert job_of(growing)


def test_a_claim_that_was_enlarged_by_hand_is_not_asked_to_shrink() -> None:
    decision = decide(weights_view(weights(status=accessible()), [claim("100Gi")]))
    assert wanted(decision) in ("", "100Gi")
    assert volume(decision) == ("True", "Bound")


def test_a_named_claim_that_is_too_small_is_named_by_its_field() -> None:
    raw = weights(status=accessible(), storage={"claimName": "shared"})
    decision = decide(weights_view(raw, named_claim=claim("1Gi", name="shared")))
    assert volume(decision) == ("False", "TooSmall")
    assert decision.conditions["VolumeReady"].message.startswith("spec.storage.claimName")


def test_a_copy_whose_claim_is_gone_is_not_ready() -> None:
    done = {**accessible(), "digest": DIGEST, "claimName": "w", "path": "x/0123456789abcdef"}
    raw = weights(status=done)
    for children, status in (([], "False"), ([claim("20Gi")], "True")):
        view = weights_view(raw, children)
        built = status_weights.build(view, decide(view), None, "2026-01-01T00:00:00Z")
        ready = built["conditions"][0]
        assert ready["status"] == status
        assert built["digest"] == DIGEST
