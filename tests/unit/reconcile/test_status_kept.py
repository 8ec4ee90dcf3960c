"""What a status says of the weights, and what it keeps from the one before."""

from typing import Any

import pytest
from tests.support.builders import deployment, ready_weights, weights
from tests.unit.reconcile.test_status import NOW, THEN, built, conditions, running, said, snapshot

from llama_operator.reconcile import status
from llama_operator.reconcile.decide import decide

Object = dict[str, Any]


@pytest.mark.parametrize(
    ("kind", "reason", "expected"),
    [
        ("VolumeReady", "StorageClassMissing", "VolumeNotUsable"),
        ("VolumeReady", "WaitingForConsumer", "Pending"),
        ("Downloaded", "Downloading", "Pending"),
        ("Accessible", "RateLimited", "Pending"),
        ("Accessible", "LicenceNotAccepted", "Failed"),
        ("Verified", "ChecksumMismatch", "Failed"),
    ],
)
def test_weights_that_are_not_ready(kind: str, reason: str, expected: str) -> None:
    raw = deployment()
    entries = [
        {"type": "Ready", "status": "False", "reason": reason, "message": "why"},
        {"type": kind, "status": "False", "reason": reason, "message": "why"},
    ]
    name = ready_weights(raw)["metadata"]["name"]
    view = snapshot(raw, weights=weights(name, status={"conditions": entries}))
    assert said(view, "WeightsReady") == ("False", expected)
    assert "why" in conditions(view)["WeightsReady"]["message"]


def test_the_plan_of_servers_that_run_is_kept_when_a_new_one_is_refused() -> None:
    plan = built(snapshot(deployment()))["plan"]
    raw = deployment(gpu={"count": 3}, status={"plan": plan})
    assert built(snapshot(raw, running(deployment())))["plan"] == plan
    assert "plan" not in built(snapshot(raw))


def test_a_time_moves_only_with_the_status_it_belongs_to() -> None:
    raw = deployment()
    first = status.build(snapshot(raw), decide(snapshot(raw)), None, THEN)
    again = {**raw, "status": first}
    assert built(snapshot(again)) == first
    after = built(snapshot(again, running(raw)))
    times = {entry["type"]: entry["lastTransitionTime"] for entry in after["conditions"]}
    assert (times["Ready"], times["Planned"]) == (NOW, THEN)
