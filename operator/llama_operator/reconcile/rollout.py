"""How a Deployment comes to the template of its revision, without a deadlock: pure.

Decided once, when the template changes, and kept on the Deployment until the next time. While it
rolls, a server that finds no node is not waited for longer than a minute.
"""

from __future__ import annotations

from dataclasses import replace

from llama_operator.api.template import SERVER, kind_of, server_template
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import (
    canary,
    claims,
    pulls,
    record,
    revisions,
    rollback,
    sets,
    strategy,
    turnover,
)
from llama_operator.reconcile.actions import Action
from llama_operator.reconcile.capacity import room
from llama_operator.reconcile.copies import weights_condition
from llama_operator.reconcile.course import WAIT_SECONDS, Course
from llama_operator.reconcile.holders import answers
from llama_operator.reconcile.ownership import delete
from llama_operator.reconcile.pulls import Pulling
from llama_operator.reconcile.record import Record
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.reconcile.strategy import Situation
from llama_operator.render.resources import gpu_resource


def counts(view: DeploymentView) -> bool:
    """Whether a rollout is about to begin for which free GPUs must be counted."""
    server, spec, name = view.server, view.spec, revisions.name_of(view)
    if server is None or not name or spec.paused or not spec.replicas:
        return False
    tried = canary.stays_at(view, server, name)
    if not tried and spec.rollout.strategy != "Auto":
        return False
    if weights_condition(view).status != "True" or canary.present(view):
        return False
    if not any(answers(pod) for pod in view.pods):
        return False  # nobody is kept waiting by what stops first, whatever is free
    if _given_up(view, server, name) is not None or revisions.undo_problem(view):
        return False
    kept = view.children.get((revisions.KIND, name))
    return kept is None or revisions.stamp_of(kept) != _stamp(server)


def course(view: DeploymentView, name: str, template: Object, gpus: int) -> Course:
    """What is due on the way to revision `name`, with its template and so many GPUs a server."""
    server = view.server
    given_up = _given_up(view, server, name)
    if given_up is not None:
        return _back(view, given_up, template)
    if server is None:
        return _towards(view, None, name, template, gpus)
    problem = revisions.undo_problem(view)
    if problem:
        return replace(_as_it_is(view, server), refused=problem)
    if _stamp(server) == stamp(template):
        return _under_way(view, server, name, Course(template, record.read(server)), gpus)
    return _towards(view, server, name, template, gpus)


def _towards(
    view: DeploymentView, server: Object | None, name: str, template: Object, gpus: int
) -> Course:
    """The first step to a revision that servers are not of: by a canary, where one is asked for."""
    good = canary.stays_at(view, server, name)
    if good:
        return _beside(view, name, template, gpus, good)
    if server is None:
        return Course(template)
    if not canary.present(view):
        return _begin(view, server, name, template, gpus)
    now, stops = _as_it_is(view, server), canary.stops_first(name)
    return replace(now, canary=stops, tried=template, again=WAIT_SECONDS)


def _beside(view: DeploymentView, name: str, template: Object, gpus: int, good: str) -> Course:
    """Servers stay at the last good revision, and one of another is tried beside them."""
    if view.server is not None and not canary.fits(view.server, template):
        return replace(_as_it_is(view, view.server), refused=canary.UNFIT)
    on = _stays(view, good)
    why = canary.failure(view, template)
    if why is not None:
        return _back(view, canary.rejected(on.record, name, why, good), on.template)
    tried = canary.judge(view, name, template, _situation(view, template, gpus))
    again = WAIT_SECONDS if tried.waits or canary.leaves(view, template) else on.again
    return replace(on, canary=tried, tried=template, again=again)


def _stays(view: DeploymentView, good: str) -> Course:
    """What is due where servers are of the last good revision, or are to be again."""
    server, kept = view.server, revisions.find(view, good)
    if server is not None and revisions.of_stamp(view, _stamp(server)) == good:
        on = _as_it_is(view, server)
        found = _under_way(view, server, good, on, on.plan.gpus if on.plan else 0)
        return replace(found, plan=found.plan or on.plan)
    if kept is None:
        raise ValueError(f"revision {good} cannot be read")  # `stays_at` names none of these
    back = record.read(server) or Record("InPlace", "Servers are of the last good revision")
    return Course(kept.template, replace(back, rejected="", verdict=""), kept.plan)


def _begin(view: DeploymentView, server: Object, name: str, template: Object, gpus: int) -> Course:
    now = _situation(view, template, gpus)
    turns = kind_of(template) != server["kind"]
    chosen = strategy.choose(strategy.all_at_once(now) if turns else now)
    pulling = pulls.due(view, template) if chosen and not chosen.surge else None
    if pulling is not None:
        return _pulling(view, server, name, pulling)
    if chosen is not None:
        good = rollback.last_good(view, server, record.read(server))
        begun = replace(chosen, last_good="" if good == name else good)
        return Course(template, _of_set(view, server, template, begun))
    return _waiting(view, server, now)


def _pulling(view: DeploymentView, server: Object, name: str, pulling: Pulling) -> Course:
    """As it is, until images are on the nodes; for good where one cannot be had."""
    now = _as_it_is(view, server)
    good = rollback.last_good(view, server, now.record)
    why = pulling.given_up
    if not (why and good and view.spec.rollout.automatic_rollback):
        return replace(now, pulling=pulling, again=pulling.again)
    kept = now.record or Record("InPlace", "No server was touched")
    refused = replace(
        kept, last_good=good, rejected=name, verdict=rollback.verdict(name, why, good)
    )
    return _back(view, refused, now.template)


def _of_set(view: DeploymentView, server: Object | None, template: Object, kept: Record) -> Record:
    """A record as what makes pods of this template keeps it."""
    kind = kind_of(template)
    turn = sets.turn(server) + (server is not None and kind != server["kind"])
    # A Deployment of ours knows by itself since when it makes no progress.
    since = view.world.now.strftime("%Y-%m-%dT%H:%M:%SZ") if kind != SERVER else ""
    return replace(kept, turn=turn, since=since)


def _given_up(view: DeploymentView, server: Object | None, name: str) -> Record | None:
    kept = rollback.remembered(view, server, record.read(server))
    refused = kept is not None and kept.rejected == name and bool(name)
    return kept if refused and view.spec.rollout.automatic_rollback else None


def _back(view: DeploymentView, kept: Record, otherwise: Object) -> Course:
    """At the last good revision, for as long as the spec asks for the one that was given up."""
    good = revisions.find(view, kept.last_good)
    server = view.server
    if good is not None:
        if server is not None and kind_of(good.template) != server["kind"]:
            kept = _of_set(view, server, good.template, kept)
        return Course(good.template, kept, good.plan, kept.verdict)
    present = dict(server["spec"]["template"]) if server else otherwise
    return Course(present, kept, refused=kept.verdict)


def _waiting(view: DeploymentView, server: Object, now: Situation) -> Course:
    """As it is, until there is room."""
    return replace(
        _as_it_is(view, server),
        waits=strategy.waits(now, view.owner.name),
        free=now.room.free if now.room else None,
        again=WAIT_SECONDS,
    )


def _as_it_is(view: DeploymentView, server: Object) -> Course:
    """The template that servers are of, as it was written down."""
    kept = revisions.find(view, revisions.of_stamp(view, _stamp(server)))
    template = kept.template if kept else dict(server["spec"]["template"])
    return Course(template, record.read(server), kept.plan if kept else None)


def needed(view: DeploymentView, name: str, on: Course) -> set[str]:
    """Revisions that servers are of, and that they may have to go back to from `name`."""
    server, kept = view.server, on.record
    present = revisions.of_stamp(view, _stamp(server)) if server else ""
    back = kept.last_good if kept and not rollback.proven(view, kept, name) else ""
    left, stays = stamp(server_template(view.leaving)), stamp(on.template)
    return {name, present, back, *(revisions.of_stamp(view, each) for each in (left, stays))}


def leaves(view: DeploymentView, on: Course) -> list[Action]:
    """Deletion of what made pods before another kind of object came to do so.

    After a surge only once the new servers are all there, else at once: its GPUs are needed.
    """
    old, server, kept = view.leaving, view.server, on.record
    if old is None or server is None or kind_of(on.template) != server["kind"]:
        return []
    surge = kept is not None and kept.strategy == "Surge" and not kept.rejected
    there = int(server.get("status", {}).get("readyReplicas", 0))
    return [delete(old)] if not surge or there >= view.spec.replicas else []


def _stamp(server: Object) -> str:
    return stamp(server.get("spec", {}).get("template"))


def _situation(view: DeploymentView, template: Object, gpus: int) -> Situation:
    rollout, owner = view.spec.rollout, view.owner
    found = None
    if view.holders is not None and claims.countable(view):
        place, resource = (owner.namespace, owner.name), gpu_resource(view.spec)
        found = room(template, view.nodes, view.holders, place, resource, view.spec.replicas)
    return Situation(
        strategy=rollout.strategy,
        replicas=view.spec.replicas,
        each=gpus if gpu_resource(view.spec) else 0,
        allow_downtime=rollout.allow_downtime,
        answers=any(answers(pod) for pod in view.pods),
        start_seconds=_start_seconds(view),
        room=found,
        queue=view.spec.scheduling.queue_name or "",
    )


def _start_seconds(view: DeploymentView) -> int:
    told = view.raw.get("status", {}).get("coldStart", {})
    return sum(value for name, value in told.items() if name.endswith("Seconds"))


# -- while it rolls -------------------------------------------------------------------------------


def _under_way(
    view: DeploymentView, server: Object, name: str, as_it_is: Course, gpus: int
) -> Course:
    kept, template = as_it_is.record, as_it_is.template
    if kept is None:
        return as_it_is
    if kept.rejected:
        # Another spec was asked for since: should it come again, it is tried again.
        kept = replace(kept, rejected="", verdict="")
        as_it_is = replace(as_it_is, record=kept)
    why = rollback.cause(view, server, kept, name)
    if why is not None:
        return _give_up(view, name, as_it_is, why)
    if not turnover.older_runs(view, template):
        return as_it_is
    now = _situation(view, template, gpus)
    asked = strategy.choose(now) if now.strategy not in ("Auto", kept.strategy) else None
    if asked is not None:
        asked = replace(asked, last_good=kept.last_good, turn=kept.turn, since=kept.since)
        return Course(template, asked)
    left = turnover.patience(view, server, kept)
    if left is None or left > 0:
        return Course(template, kept, again=left)
    held = turnover.queued(view, server)
    return _fall_back(view, name, as_it_is, strategy.fallen_back(now, kept, queued=held))


def _fall_back(view: DeploymentView, name: str, as_it_is: Course, instead: Record) -> Course:
    """Servers stop for the new one, which no node took, once its image is there."""
    kept, template = as_it_is.record, as_it_is.template
    pulling = pulls.due(view, template)
    if pulling is None or kept is None:
        return Course(template, instead)
    if pulling.given_up and rollback.undecided(view, kept, name):
        return _give_up(view, name, as_it_is, pulling.given_up)
    return Course(template, kept, pulling=pulling, again=pulling.again)


def _give_up(view: DeploymentView, name: str, as_it_is: Course, why: rollback.Why) -> Course:
    kept = as_it_is.record
    if kept is None or not revisions.mountable(view, kept.last_good):
        good = kept.last_good if kept else ""
        return replace(as_it_is, refused=rollback.no_way_back(name, good))
    verdict = rollback.verdict(name, why, kept.last_good)
    return _back(view, replace(kept, rejected=name, verdict=verdict), as_it_is.template)
