"""A new revision is tried by one server beside the others, with a share of the requests: pure.

The servers stay at the last good revision for as long as it is tried. Nothing is remembered of a
canary but itself: what there is of it, and the spec, say what is due, so no crash can part them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from llama_operator.api import labels
from llama_operator.api.template import SERVER, kind_of, server_template
from llama_operator.diagnose import queues, servers
from llama_operator.diagnose.template import of_template, stamp
from llama_operator.reconcile import reach, revisions, rollback, routing, strategy
from llama_operator.reconcile.actions import Action
from llama_operator.reconcile.course import Canary, Course
from llama_operator.reconcile.holders import answers
from llama_operator.reconcile.ownership import delete
from llama_operator.reconcile.ownership import leaves as goes
from llama_operator.reconcile.record import Record, read
from llama_operator.reconcile.sets import Children
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.reconcile.strategy import Situation
from llama_operator.render import inputs
from llama_operator.render.canary import name_of

UNFIT = (
    "spec.rollout.canaryPercent: a canary is one pod beside servers of one pod, and these are, or "
    "are to be, of another kind; servers stay as they are. To replace them all at once, set "
    "spec.rollout.canaryPercent to 0"
)
# A pod that is not gone so long after it had to be, on a node that is lost, is waited for no longer.
_LOST = timedelta(seconds=30)


def wanted(view: DeploymentView) -> bool:
    """Whether the spec asks for canaries, and can have them; admission refuses what cannot."""
    spec = view.spec
    asleep = spec.autoscaling is not None and spec.autoscaling.min_replicas == 0
    split = spec.endpoint.http_route is not None and spec.endpoint.routing == "None"
    shared = 0 < spec.rollout.canary_percent < 100
    return shared and split and not asleep and spec.backend == "native"


def stays_at(view: DeploymentView, server: Object | None, name: str) -> str:
    """The revision that servers are of while `name` is tried; "" where it is not to be tried.

    Not the first one, nor one to go back to: who asks for that wants it now.
    """
    known = view.raw.get("status", {}).get("revision", {}).get("lastGood", "")
    if not wanted(view) or view.spec.rollout.undo_to or name == known:
        return ""
    good = rollback.last_good(view, server, read(server)) if server else str(known)
    return good if good != name and _can_be(view, server, good) else ""


def _can_be(view: DeploymentView, server: Object | None, good: str) -> bool:
    """Whether servers are of this revision, or can go back to it."""
    present = revisions.of_stamp(view, stamp(server_template(server))) if server else ""
    known = revisions.mountable(view, good) and revisions.find(view, good) is not None
    return bool(good) and (good == present or known)


def fits(server: Object, template: Object) -> bool:
    """Whether one pod can be tried: neither the servers nor the new one are of another kind."""
    return kind_of(template) == SERVER and bool(server["kind"] == SERVER)


# -- what there is of it --------------------------------------------------------------------------


def made(view: DeploymentView) -> Object | None:
    """Its Deployment."""
    return among(view.children, view.owner.name)


def among(children: Children, owner: str) -> Object | None:
    """Its Deployment among the children of a LlamaDeployment of this name."""
    return children.get((SERVER, name_of(owner)))


def present(view: DeploymentView) -> bool:
    """Whether one is there, or holds its GPUs until it has stopped."""
    return made(view) is not None or any(_holds(view, pod) for pod in view.canaries)


def leaves(view: DeploymentView, template: Object) -> bool:
    """Whether one that is not of this template is there still."""
    return present(view) and not _is_of(view, template)


def _is_of(view: DeploymentView, template: Object) -> bool:
    there = made(view)
    return there is not None and stamp(server_template(there)) == stamp(template)


def _holds(view: DeploymentView, pod: Object) -> bool:
    until = pod["metadata"].get("deletionTimestamp")
    return not until or view.world.now < datetime.fromisoformat(until) + _LOST


def _answers(view: DeploymentView) -> bool:
    return any(answers(pod) and not goes(pod) for pod in view.canaries)


# -- what becomes of it ---------------------------------------------------------------------------


def failure(view: DeploymentView, template: Object) -> rollback.Why | None:
    """Why its revision is to be given up; None while it is not."""
    if not (view.spec.rollout.automatic_rollback and _is_of(view, template)):
        return None
    return rollback.why(view, view.canaries, made(view))


def rejected(kept: Record | None, name: str, why: rollback.Why, good: str) -> Record:
    """The record of the servers, none of which was touched."""
    return replace(
        kept or Record("InPlace", ""),
        reason="Only a canary was started: no other server was touched",
        free=None,
        last_good=good,
        rejected=name,
        verdict=rollback.verdict(name, why, good),
    )


def judge(view: DeploymentView, name: str, template: Object, now: Situation) -> Canary:
    """What is due for the canary of this revision; GPUs are counted only while there is none."""
    barred = _barred(view, name, template)
    if barred:
        return Canary(barred)
    room, share = now.room, view.spec.rollout.canary_percent
    if room is not None and not room.servers:
        return Canary(_no_room(view, name, now), free=room.free, waits=True)
    if _answers(view):
        return Canary(_serves(view, name, share), template, share)
    held = queues.cause(of_template(view.canaries, made(view)), view.queued)
    if held is not None:
        text = f"Canary: revision {name} has to wait. {held.message}. {_ways_on(view)}"
        return Canary(text, template, waits=True)
    return Canary(_starts(view, name, share), template)


def _barred(view: DeploymentView, name: str, template: Object) -> str:
    """Why there is to be none for now; "" where nothing is against it."""
    if not view.spec.replicas:
        return f"Revision {name} waits for servers to be tried beside: spec.replicas is 0"
    if view.server is None and not present(view):
        # GPUs cannot be told from theirs, which are to be made again first.
        return f"Revision {name} waits for servers to be tried beside: they are made again"
    if reach.one_pod(view):
        return (
            f"Revision {name} cannot be tried: the claim of the weights is ReadWriteOncePod, and a "
            "canary is a second pod. To replace the server without one, set "
            "spec.rollout.canaryPercent to 0"
        )
    if not routing.served(view).route:
        return f"Revision {name} is tried once requests can be shared out: see Degraded"
    if leaves(view, template):
        return f"Revision {name} is tried once the canary before it has stopped"
    return ""


def _no_room(view: DeploymentView, name: str, now: Situation) -> str:
    need = f"{now.each} free GPU{'s' * (now.each > 1)}" if now.each else "room on a node"
    return (
        f"{strategy.held(now)}: the canary of revision {name} needs {need} beside the servers, which "
        "go on. Free GPUs or add a node, or replace all servers without one: "
        f"llamactl set {view.owner.name} rollout.canaryPercent=0"
    )


def _serves(view: DeploymentView, name: str, share: int) -> str:
    return (
        f"Canary: revision {name} answers, and gets {share} % of the requests of the HTTPRoute. "
        f"{_ways_on(view)}"
    )


def _starts(view: DeploymentView, name: str, share: int) -> str:
    there = made(view)
    cause = servers.worst(view.canaries, there, view.logs, view.events) or servers.refused(there)
    # Only the word: how often it crashed, and at which number, is no news.
    why = f" ({cause.reason})" if cause else ""
    return (
        f"Canary: revision {name} does not answer yet{why}; all requests go to the other servers, "
        f"and {share} % to it once it does. {_ways_on(view)}"
    )


def _ways_on(view: DeploymentView) -> str:
    name = view.owner.name
    return (
        f"For all servers: llamactl set {name} rollout.canaryPercent=0. To stop it: "
        f"llamactl rollout undo {name}"
    )


def stops_first(name: str) -> Canary:
    """Of one that leaves before a rollout begins, which may need its GPUs."""
    return Canary(f"The canary stops before servers are replaced by those of revision {name}")


# -- objects --------------------------------------------------------------------------------------


def rendered(view: DeploymentView, course: Course) -> inputs.Canary | None:
    """As rendering takes it: None where neither one is wanted nor a pod of one is left."""
    tried = course.canary
    if tried is not None and tried.template:
        return inputs.Canary(tried.template, tried.percent)
    return inputs.Canary() if made(view) or view.canaries else None


def spare(view: DeploymentView, desired: list[Object]) -> list[Action]:
    """Deletions of what is left of one that is not wanted: the route leads elsewhere by then."""
    names = {(obj["kind"], obj["metadata"]["name"]) for obj in desired}
    return [
        delete(obj)
        for key, obj in view.children.items()
        if key not in names
        and obj["metadata"].get("labels", {}).get(labels.COMPONENT) == labels.TRIED
    ]
