"""Who uses a copy, and what becomes of one that nobody uses."""

from __future__ import annotations

from datetime import datetime, timedelta

from llama_operator.api import labels
from llama_operator.api.quantity import parse_duration
from llama_operator.reconcile.actions import Delete, SetFinalizer
from llama_operator.reconcile.findings import WeightsDecision, stamp
from llama_operator.reconcile.snapshot import WeightsView

# A server that moves to another copy changes no object that this one is told of.
RELEASE_POLL_SECONDS = 30.0


def judge(view: WeightsView, decision: WeightsDecision) -> None:
    """Hold a copy in use by a finalizer; remove one that was unused for its grace period."""
    finalizers = view.raw["metadata"].get("finalizers", ())
    # An adapter is held for nobody: servers have it in their memory, and one that goes comes again.
    wanted = bool(view.users) and not view.spec.adapter
    present = labels.FINALIZER in finalizers
    if present != wanted:
        owner = view.owner
        decision.actions.append(SetFinalizer(owner.namespace, owner.name, owner.uid, wanted))
    if view.leaving:
        decision.again(RELEASE_POLL_SECONDS)
    if not view.users and not view.keepers:
        _unused(view, decision)


def _unused(view: WeightsView, decision: WeightsDecision) -> None:
    now = stamp(view.world.now)
    # A clock that was ahead and went back must not hold a copy for as long as it was ahead.
    since = min(view.status.get("unusedSince") or now, now)
    decision.facts["unusedSince"] = since
    retention = view.spec.retention
    if retention is None or retention.policy != "Delete" or not view.status.get("unusedSince"):
        return
    grace = parse_duration(retention.after_unused, "spec.retention.afterUnused")
    left = (
        datetime.fromisoformat(since) + timedelta(seconds=grace) - view.world.now
    ).total_seconds()
    if left > 0:
        decision.again(left)
    else:
        owner = view.owner
        decision.actions.append(Delete(owner.kind, owner.namespace, owner.name, owner.uid))
