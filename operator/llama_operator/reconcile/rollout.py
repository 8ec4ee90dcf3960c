"""How a Deployment comes to the template of its revision, without a deadlock: pure.

Decided once, when the template changes, and kept on the Deployment until the next time. While it
rolls, a server that finds no node is not waited for longer than a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from llama_operator.diagnose.template import of_template, stamp
from llama_operator.reconcile import record, revisions, strategy
from llama_operator.reconcile.capacity import room
from llama_operator.reconcile.copies import weights_condition
from llama_operator.reconcile.record import Record
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.reconcile.strategy import PENDING_SECONDS, Situation
from llama_operator.render.resources import gpu_resource

# GPUs become free without an event that we see.
WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Course:
    """The template that servers are to be of now, and how they get there."""

    template: Object
    record: Record | None = None
    # Why the rollout has not begun; "" where it has.
    waits: str = ""
    free: int | None = None
    again: float | None = None

    @property
    def status(self) -> Object:
        """`status.rollout`; empty before the first rollout."""
        # It could only be a surge: all else would have begun.
        told = Record("Surge", self.waits, free=self.free) if self.waits else self.record
        return told.status if told else {}


def counts(view: DeploymentView) -> bool:
    """Whether a rollout is about to begin for which free GPUs must be counted."""
    server, spec, name = _server(view), view.spec, revisions.name_of(view)
    if server is None or not name or spec.paused or not spec.replicas:
        return False
    if spec.rollout.strategy != "Auto" or weights_condition(view).status != "True":
        return False
    kept = view.children.get((revisions.KIND, name))
    return kept is None or revisions.stamp_of(kept) != _stamp(server)


def course(view: DeploymentView, template: Object, gpus: int) -> Course:
    """What is due on the way to `template`, whose servers have so many GPUs each."""
    server = _server(view)
    if server is None:
        return Course(template)
    if _stamp(server) == stamp(template):
        return _under_way(view, server, template, gpus)
    now = _situation(view, template, gpus)
    chosen = strategy.choose(now)
    if chosen is not None:
        return Course(template, chosen)
    free, again = now.room.free if now.room else None, WAIT_SECONDS
    return Course(_present(view, server), record.read(server), _waits(view, now), free, again)


def _server(view: DeploymentView) -> Object | None:
    return view.children.get(("Deployment", view.owner.name))


def _stamp(server: Object) -> str:
    return stamp(server.get("spec", {}).get("template"))


def _present(view: DeploymentView, server: Object) -> Object:
    """The template that servers are of, as it was written down."""
    kept = revisions.find(view, revisions.of_stamp(view, _stamp(server)))
    return kept.template if kept else dict(server["spec"]["template"])


def _situation(view: DeploymentView, template: Object, gpus: int) -> Situation:
    rollout, owner = view.spec.rollout, view.owner
    found = None
    if view.holders is not None:
        place, resource = (owner.namespace, owner.name), gpu_resource(view.spec)
        found = room(template, view.world.nodes, view.holders, place, resource)
    return Situation(
        strategy=rollout.strategy,
        replicas=view.spec.replicas,
        each=gpus if gpu_resource(view.spec) else 0,
        allow_downtime=rollout.allow_downtime,
        answers=any(revisions.answers(pod) for pod in view.pods),
        start_seconds=_start_seconds(view),
        room=found,
    )


def _start_seconds(view: DeploymentView) -> int:
    told = view.raw.get("status", {}).get("coldStart", {})
    return sum(value for name, value in told.items() if name.endswith("Seconds"))


def _waits(view: DeploymentView, now: Situation) -> str:
    return (
        f"{strategy.held(now)} beside the present one, which goes on. Free GPUs or add a node, or "
        "allow the time without an answer: "
        f"llamactl set {view.owner.name} rollout.allowDowntime=true"
    )


# -- while it rolls -------------------------------------------------------------------------------


def _under_way(view: DeploymentView, server: Object, template: Object, gpus: int) -> Course:
    kept = record.read(server)
    if kept is None or not _older(view, server):
        return Course(template, kept)
    asked = view.spec.rollout.strategy
    now = _situation(view, template, gpus)
    if asked not in ("Auto", kept.strategy):
        return Course(template, strategy.choose(now))
    left = _patience(view, server, kept)
    if left is None or left > 0:
        return Course(template, kept, again=left)
    return Course(template, strategy.fallen_back(now, kept))


def _older(view: DeploymentView, server: Object) -> list[Object]:
    """Pods of other templates that are there to stay for now."""
    alive = (pod for pod in view.pods if not pod["metadata"].get("deletionTimestamp"))
    return [pod for pod in alive if stamp(pod) != _stamp(server)]


def _patience(view: DeploymentView, server: Object, kept: Record) -> float | None:
    """Seconds that a surge may still wait for a node; None where it does not, or is to."""
    rollout = view.spec.rollout
    bound = rollout.strategy == "Surge" or (view.spec.replicas == 1 and not rollout.allow_downtime)
    new = [pod for pod in of_template(view.pods, server) if not revisions.answers(pod)]
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
