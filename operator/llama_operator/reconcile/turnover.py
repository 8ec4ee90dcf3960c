"""Servers of earlier templates while a rollout goes, and how long new ones wait for a node: pure."""

from __future__ import annotations

from datetime import datetime

from llama_operator.diagnose.template import of_template, stamp
from llama_operator.reconcile.holders import answers
from llama_operator.reconcile.ownership import leaves
from llama_operator.reconcile.record import Record
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.reconcile.strategy import PENDING_SECONDS


def older_runs(view: DeploymentView, template: Object) -> bool:
    """Whether pods of other templates than this run yet, and are there to stay for now."""
    alive = (pod for pod in view.pods if not leaves(pod) and not _ended(pod))
    return any(stamp(pod) != stamp(template) for pod in alive)


def _ended(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def patience(view: DeploymentView, server: Object, kept: Record) -> float | None:
    """Seconds that a surge may still wait for a node; None where it does not, or is to."""
    rollout = view.spec.rollout
    bound = rollout.strategy == "Surge" or (view.spec.replicas == 1 and not rollout.allow_downtime)
    new = [pod for pod in of_template(view.pods, server) if not answers(pod)]
    since = [_nowhere_since(pod) for pod in new]
    if kept.strategy != "Surge" or bound or not since or not all(since):
        return None
    waited = view.world.now - min(datetime.fromisoformat(each) for each in since)
    return PENDING_SECONDS - waited.total_seconds()


def _nowhere_since(pod: Object) -> str:
    """Since when the scheduler finds no node for a pod; "" where it has, or has not looked."""
    for each in pod.get("status", {}).get("conditions", ()):
        if each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable":
            return str(each.get("lastTransitionTime", ""))
    return ""
