"""The status of a LlamaDeployment: a pure function of what was seen and decided."""

from __future__ import annotations

from dataclasses import replace

from llama_operator.api import labels
from llama_operator.api.conditions import Condition, Status, find, merge
from llama_operator.api.template import OF_KSERVE
from llama_operator.diagnose import queues, servers
from llama_operator.diagnose.pods import Cause
from llama_operator.diagnose.template import of_template
from llama_operator.diagnose.words import same_but_for_numbers
from llama_operator.reconcile import (
    adapters,
    coldstart,
    groups,
    kserve,
    reported,
    routing,
    scaling,
    turnover,
)
from llama_operator.reconcile import queues as kueue
from llama_operator.reconcile.actions import Failure
from llama_operator.reconcile.course import Course
from llama_operator.reconcile.decide import Decision
from llama_operator.reconcile.ownership import changed
from llama_operator.reconcile.sizing import TYPE as SIZING
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.render.meta import selector

_OVER_BUDGET = "No replica became ready within its startup budget"


def build(view: DeploymentView, decision: Decision, failure: Failure | None, now: str) -> Object:
    """The whole status; equal to the old one when nothing has changed."""
    server = view.server
    generation = int(view.raw["metadata"].get("generation", 0))
    choice = _scaling(view, decision)
    missing = choice.missing if choice else None
    conditions = _conditions(view, decision, server, failure, missing)
    old = view.raw.get("status", {})
    conditions += [view.sizing.condition] if view.sizing else []
    before = [each for each in old.get("conditions", []) if view.sizing or each["type"] != SIZING]
    status: Object = {
        "observedGeneration": generation,
        "conditions": merge(before, conditions, generation, now),
        **reported.counts(server, decision.course),
        "selector": ",".join(f"{k}={v}" for k, v in selector(view.owner, labels.SERVER).items()),
        "weights": reported.weights(view),
        "endpoint": reported.endpoint(view),
    }
    status |= _told(view)
    if server is not None and server["kind"] in OF_KSERVE:
        status["kserve"] = kserve.told(view)
    if decision.adapters:
        status["adapters"] = adapters.told(view, decision.adapters)
    if view.sizing is not None and view.sizing.advice:
        status["sizingAdvice"] = view.sizing.advice
    if choice is not None:
        status["autoscaling"] = choice.to_status()
    revision = reported.revision(view, decision, conditions)
    if revision:
        status["revision"] = revision
    if decision.course is not None and decision.course.status:
        status["rollout"] = decision.course.status
    planned = decision.plan
    if planned is not None:
        status["plan"] = planned.to_status()
    elif server is not None and "plan" in old:
        status["plan"] = old["plan"]  # of the servers that still run
    return status


def _scaling(view: DeploymentView, decision: Decision) -> scaling.Choice | None:
    plan = decision.judgement.plan
    return scaling.choose(view, plan) if plan is not None else None


def _told(view: DeploymentView) -> Object:
    """Of the last start that was read: that of a pod that is gone by now tells as much."""
    if view.told is not None:
        return coldstart.status(*view.told)
    old = view.raw.get("status", {})
    return {name: old[name] for name in ("coldStart", "observed") if name in old}


def _conditions(
    view: DeploymentView,
    decision: Decision,
    server: Object | None,
    failure: Failure | None,
    missing: tuple[str, str] | None,
) -> list[Condition]:
    pods = (*view.pods, *view.ranks)
    found = servers.worst(pods, server, view.logs, view.events)
    cause = groups.told(view, server, _steady(view, found))
    held = queues.cause(of_template(pods, server), view.queued)
    degraded = _degraded(
        [*_problems(decision, server, failure, cause), *_others(view, decision, missing)]
    )
    available = _available(view, server, degraded)
    progressing = _progressing(view, decision, server, held or cause)
    parts = [decision.judgement.condition, decision.weights_ready, available, progressing]
    return [_ready(view, [*parts, degraded]), *parts, degraded]


def _steady(view: DeploymentView, cause: Cause | None) -> Cause | None:
    """The old words where a crash differs from the one before in numbers only.

    Each finds other free memory, and each would be a write. Of another generation it is news.
    """
    old = find(view.raw.get("status", {}).get("conditions", ()), "Degraded") or {}
    same_spec = old.get("observedGeneration") == view.raw["metadata"].get("generation", 0)
    if cause is None or not cause.ended or not same_spec or old.get("reason") != cause.reason:
        return cause
    same = same_but_for_numbers(old.get("message", ""), cause.message)
    return replace(cause, message=old["message"]) if same else cause


def _ready(view: DeploymentView, parts: list[Condition]) -> Condition:
    *good, degraded = parts
    for condition in good:
        if condition.status != "True" or condition.reason in (
            "RollingOut",
            "Starting",
            "ScalingUp",
        ):
            status: Status = "Unknown" if condition.status == "Unknown" else "False"
            return _unmet(status, _telling(condition, good), degraded)
    if degraded.status == "True":
        return Condition("Ready", "False", degraded.reason, degraded.message)
    if view.spec.replicas == 0:
        return Condition("Ready", "True", "ScaledToZero", "spec.replicas is 0")
    return Condition("Ready", "True", "Serving", f"All {view.spec.replicas} replicas answer")


def _telling(unmet: Condition, parts: list[Condition]) -> Condition:
    """What Ready repeats: that nothing answers says less than that all wait in a queue."""
    queued = next((each for each in parts if each.reason == queues.REASON), None)
    return queued if queued and unmet.type == "Available" else unmet


def _unmet(status: Status, condition: Condition, degraded: Condition) -> Condition:
    if degraded.status == "True" and condition.type in ("Available", "Progressing"):
        return Condition("Ready", "False", degraded.reason, degraded.message)
    return Condition("Ready", status, condition.reason, condition.message)


def _available(view: DeploymentView, server: Object | None, degraded: Condition) -> Condition:
    wanted = view.spec.replicas
    ready = int((server or {}).get("status", {}).get("readyReplicas", 0))
    if wanted == 0 and server is not None:
        return Condition("Available", "True", "ScaledToZero", "spec.replicas is 0")
    floor = max(1, wanted - _count(view.spec.disruption.max_unavailable, wanted))
    if ready >= floor and wanted > 0:
        return Condition(
            "Available",
            "True",
            "MinimumReplicasReady",
            f"At least {floor} of {wanted} replicas answer",
        )
    why = degraded.message if degraded.status == "True" else f"{ready} of {wanted} replicas answer"
    return Condition("Available", "False", "NoReplicaReady", why)


def _count(value: int | str, of: int) -> int:
    """A number of replicas, or a percentage of them rounded up as Kubernetes does."""
    return value if isinstance(value, int) else -(-int(value.rstrip("%")) * of // 100)


def _progressing(
    view: DeploymentView, decision: Decision, server: Object | None, cause: Cause | None
) -> Condition:
    if view.spec.paused:
        return _moves("False", "Paused", "spec.paused is true: nothing is changed")
    if server is None:
        text = "Servers are made when Planned and WeightsReady are True"
        if decision.blocked:
            text = "Servers are made when what Degraded tells of is there"
        return _moves("Unknown", "Starting", text)
    if not decision.desired:
        text = "Servers stay as they are until Planned and WeightsReady are True"
        return _moves("Unknown", "RollingOut", text)
    held_up = _held_up(decision.course)
    if held_up is not None:
        return held_up
    if not _current(view, decision, server):
        return _moves("True", "RollingOut", "Replicas are being replaced by this generation")
    return _queued(cause) or _moving(view, decision, server, cause)


def _queued(cause: Cause | None) -> Condition | None:
    if cause is None or cause.reason != queues.REASON:
        return None
    return _moves("False", "Queued", cause.message)


def _moving(
    view: DeploymentView, decision: Decision, server: Object, cause: Cause | None
) -> Condition:
    late = turnover.over_budget(view, server, (*view.pods, *view.ranks))
    told = _stalled_before(view) if not decision.stalls else decision.stalls[0].message
    stall = told or (_OVER_BUDGET if late else "")
    moves = _rollout(server, view.spec.replicas, cause, stall, late=late)
    waits = kserve.waits(view) if moves.reason == "RolloutComplete" else ""
    return _moves("True", "Starting", waits) if waits else moves


def _held_up(course: Course | None) -> Condition | None:
    """Why servers are not of the revision that is asked for, and will not be by themselves."""
    if course is not None and course.refused:
        return _moves("False", "RevisionRejected", course.refused)
    if course is not None and course.waits:
        return _moves("False", "WaitingForGPUs", course.waits)
    if course is not None and course.canary is not None:
        told = course.canary
        state: Status = "False" if told.waits else "True"
        return _moves(state, "WaitingForGPUs" if told.waits else "RollingOut", told.text)
    if course is not None and course.pulling is not None:
        return _moves("True", "RollingOut", course.pulling.text)
    return None


def _stalled_before(view: DeploymentView) -> str:
    """The stall that is told of until the servers of this spec are ready; "" where there is none."""
    old = find(view.raw.get("status", {}).get("conditions", ()), "Progressing") or {}
    same_spec = old.get("observedGeneration") == view.raw["metadata"].get("generation", 0)
    return str(old["message"]) if same_spec and old.get("reason") == "StartupStalled" else ""


def _moves(status: Status, reason: str, message: str) -> Condition:
    return Condition("Progressing", status, reason, message)


def _rollout(
    server: Object, wanted: int, cause: Cause | None, stall: str, *, late: bool
) -> Condition:
    live = server.get("status", {})
    replicas, ready = live.get("replicas", 0), live.get("readyReplicas", 0)
    if late or (stall and ready < wanted):
        return _moves("False", "StartupStalled", stall)
    if live.get("updatedReplicas", 0) < min(wanted, replicas):
        return _moves("True", "RollingOut", "Replicas are being replaced by this generation")
    if replicas > wanted:
        return _moves("True", "RollingOut", "Replicas that are too many are being removed")
    if ready < wanted and cause is not None and cause.reason == "Unschedulable":
        return _moves("False", "WaitingForGPUs", cause.message)
    if ready < wanted:
        return _moves("True", "Starting", "Replicas are starting")
    return _moves("True", "RolloutComplete", f"All {wanted} replicas are of this generation")


def _current(view: DeploymentView, decision: Decision, server: Object) -> bool:
    """Whether what makes pods is as it is wanted, alone, and what it says is of that."""
    key = server["kind"], server["metadata"]["name"]
    wanted = [obj for obj in decision.desired if (obj["kind"], obj["metadata"]["name"]) == key]
    meta, live = server["metadata"], server.get("status", {})
    observed = live.get("observedGeneration") == meta.get("generation")
    same = bool(wanted) and not any(changed(obj, view.children[key]) for obj in wanted)
    return observed and same and view.leaving is None


def _degraded(problems: list[tuple[str, str]]) -> Condition:
    for reason, message in problems:
        return Condition("Degraded", "True", reason, message)
    return Condition("Degraded", "False", "Healthy", "Nothing is known to be wrong")


def _others(
    view: DeploymentView, decision: Decision, missing: tuple[str, str] | None
) -> list[tuple[str, str]]:
    adapter = adapters.trouble(view, decision.adapters)
    pulling = decision.course.pulling if decision.course else None
    image = pulling.unable if pulling else None
    found = (missing, routing.problem(view), kueue.problem(view), adapter, image)
    return [each for each in found if each is not None]


def _problems(
    decision: Decision, server: Object | None, failure: Failure | None, cause: Cause | None
) -> list[tuple[str, str]]:
    found = []
    if failure is not None:
        found.append((failure.reason, failure.message))
    if decision.blocked is not None:
        found.append(decision.blocked)
    if cause is not None:
        found.append((cause.reason, cause.message))
    refused = servers.refused(server)
    return [*found, *([(refused.reason, refused.message)] if refused else [])]
