"""Servers of earlier templates while a rollout goes, and how long new ones wait for a node: pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from llama_operator.api.template import server_template
from llama_operator.diagnose import queues, servers
from llama_operator.diagnose.template import of_template, stamp
from llama_operator.reconcile.holders import answers
from llama_operator.reconcile.ownership import leaves
from llama_operator.reconcile.record import Record
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.reconcile.strategy import PENDING_SECONDS
from llama_operator.render.deployment import SPARE_SECONDS
from llama_operator.render.probes import allowed_seconds

# The second one is Volcano's, of a pod that would fit and of whose gang another one does not.
_NOWHERE = ("Unschedulable", "Schedulable")


def older_runs(view: DeploymentView, template: Object) -> bool:
    """Whether pods of other templates than this run yet, and are there to stay for now."""
    alive = (pod for pod in view.pods if not leaves(pod) and not _ended(pod))
    return any(stamp(pod) != stamp(template) for pod in alive)


def _ended(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def patience(view: DeploymentView, server: Object, kept: Record) -> float | None:
    """Seconds that a surge may still wait for a node, or for a queue; None where it does not, or is to."""
    rollout = view.spec.rollout
    bound = rollout.strategy == "Surge" or (view.spec.replicas == 1 and not rollout.allow_downtime)
    new = [pod for pod in of_template(view.pods, server) if not answers(pod)]
    since = [_nowhere_since(pod) for pod in new]
    if kept.strategy != "Surge" or bound or not since or not all(since):
        return None
    waited = view.world.now - min(datetime.fromisoformat(each) for each in since)
    return PENDING_SECONDS - waited.total_seconds()


def _nowhere_since(pod: Object) -> str:
    """Since when no node takes a pod, or a queue holds it; "" where it has one, or nobody has looked."""
    if queues.held(pod):
        return str(pod["metadata"].get("creationTimestamp", ""))
    for each in pod.get("status", {}).get("conditions", ()):
        if each["type"] == "PodScheduled" and each.get("reason") in _NOWHERE:
            return str(each.get("lastTransitionTime", ""))
    return ""


def queued(view: DeploymentView, server: Object) -> bool:
    """Whether a queue holds back new servers."""
    return any(queues.held(pod) for pod in of_template((*view.pods, *view.ranks), server))


# -- what takes too long --------------------------------------------------------------------------


def over_budget(view: DeploymentView, server: Object, pods: Iterable[Object]) -> bool:
    """Whether servers make no progress for as long as they may take.

    The budget is that of a start. Kubernetes counts from when a pod is made, and goes on to say that
    it is late when one that had to wait for hours has just begun.
    """
    if not servers.over_budget(server):
        return False
    allowed = allowed_seconds(server_template(server)) + SPARE_SECONDS
    starting = [pod for pod in of_template(pods, server) if not answers(pod)]
    return not any(_has_time(pod, view.world.now, allowed) for pod in starting)


def _has_time(pod: Object, now: datetime, allowed: float) -> bool:
    if queues.held(pod):
        return True
    placed, made = _placed_at(pod), pod["metadata"].get("creationTimestamp", "")
    if not placed or not made:
        return False
    at = datetime.fromisoformat(placed)
    waited = (at - datetime.fromisoformat(made)).total_seconds()
    # One that found a node at once may be the tenth of its kind, made anew after each crash.
    return waited > PENDING_SECONDS and (now - at).total_seconds() < allowed


def _placed_at(pod: Object) -> str:
    """Since when a pod has a node; "" while it has none."""
    for each in pod.get("status", {}).get("conditions", ()):
        if each["type"] == "PodScheduled" and each["status"] == "True":
            return str(each.get("lastTransitionTime", ""))
    return ""
