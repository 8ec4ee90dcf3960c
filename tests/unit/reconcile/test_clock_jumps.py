"""Times that another clock wrote down, or this one before it was set back, hold nothing up."""

from __future__ import annotations

from datetime import timedelta

from tests.support.builders import DIGEST, NOW, weights, weights_view, world
from tests.unit.reconcile.test_decide_weights import ended, job_of

from llama_operator.reconcile.decide_weights import decide
from llama_operator.reconcile.outcome import RETRY_SECONDS

GRACE = timedelta(hours=24)
AHEAD = world(now=NOW - timedelta(days=30))


def test_a_job_that_failed_in_the_future_is_tried_again_within_the_minute() -> None:
    job = ended(job_of(decide(weights_view())), "Failed")
    decision = decide(weights_view(children=[job], world=AHEAD))
    assert decision.requeue_after == RETRY_SECONDS


def test_a_copy_that_fell_out_of_use_in_the_future_is_held_for_its_grace() -> None:
    kept = {"digest": DIGEST, "unusedSince": "2026-01-01T12:00:00Z"}
    retention = {"policy": "Delete", "afterUnused": "24h"}
    decision = decide(weights_view(weights(status=kept, retention=retention), world=AHEAD))
    assert decision.actions == []
    assert decision.facts["unusedSince"] == "2025-12-02T12:00:00Z"
    assert decision.requeue_after == GRACE.total_seconds()


def test_a_copy_that_was_verified_in_the_future_is_verified_within_the_period() -> None:
    kept = {
        "digest": DIGEST, "claimName": "w", "path": "llama-3.1-8b-instruct/0123456789abcdef",
        "lastVerifiedAt": "2026-01-01T12:00:00Z", "bytes": 1, "commit": "c" * 40,
    }  # fmt: skip
    raw = weights(status=kept, verify={"schedule": "Daily"}, storage={"claimName": "w"})
    decision = decide(weights_view(raw, users=("web",), world=AHEAD))
    assert decision.requeue_after == GRACE.total_seconds()
