"""A finished copy, read again by its schedule or when asked to: bytes on a disk change without telling anybody.

The servers go on whatever is found: they have the weights in memory. The condition says what was
found until a later round finds otherwise.
"""

from __future__ import annotations

from datetime import datetime

from llama_operator.api import labels
from llama_operator.api.conditions import Condition
from llama_operator.reconcile import outcome, source
from llama_operator.reconcile.findings import WeightsDecision, stamp
from llama_operator.reconcile.ownership import converge
from llama_operator.reconcile.snapshot import Object, WeightsView
from llama_operator.render import jobs, render

_DAY = 86_400.0
PERIODS = {"Daily": _DAY, "Weekly": 7 * _DAY, "Monthly": 30 * _DAY}


def judge(view: WeightsView, decision: WeightsDecision) -> None:
    """Start a round that is due, and take over what it has found."""
    since = str(view.status.get("lastVerifiedAt", ""))
    _keep(view, decision)
    left = _left(view, since)
    if left is None:
        return
    if not since and _asked(view, since) is None:  # of a version that did not write it down
        decision.facts["lastVerifiedAt"] = stamp(view.world.now)
        return
    if left > 0:
        decision.again(left)
        return
    fetching = source.finished(view)
    name = jobs.verify_name(fetching, since)
    job = view.children.get(("Job", name))
    if job is None:
        digest = str(view.status["digest"])
        decision.actions += converge(render.verify_objects(fetching, digest, since), view.children)
    else:
        _take_over(view, job, decision)


def current(view: WeightsView) -> str:
    """Name of the Job of the present round, which is not to be cleared away."""
    since = str(view.status.get("lastVerifiedAt", ""))
    if _left(view, since) is None:
        return ""
    return jobs.verify_name(source.finished(view), since)


def _left(view: WeightsView, since: str) -> float | None:
    """Seconds until the next round, by the schedule or because somebody asked; None: never."""
    waits = (_scheduled(view, since), _asked(view, since))
    return min((each for each in waits if each is not None), default=None)


def _scheduled(view: WeightsView, since: str) -> float | None:
    period = PERIODS.get(view.spec.verify.schedule)
    if period is None or not since:
        return period
    # No longer than a period, also where the clock was ahead when it was written down.
    return min(period, period - (view.world.now - datetime.fromisoformat(since)).total_seconds())


def _asked(view: WeightsView, since: str) -> float | None:
    text = view.raw["metadata"].get("annotations", {}).get(labels.VERIFY_AT, "")
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if at.tzinfo is None or (since and at <= datetime.fromisoformat(since)):
        return None
    return max(0.0, (at - view.world.now).total_seconds())


def _take_over(view: WeightsView, job: Object, decision: WeightsDecision) -> None:
    result = outcome.of_job(view, job, "Verified", ("digest",), decision)
    if result is None:
        return
    failure = result.failure
    if failure is None and result.values["digest"] != view.status["digest"]:
        failure = Condition(
            "Verified",
            "False",
            "ChecksumMismatch",
            "The manifest of the copy is another than the one that was published",
        )
    if failure is not None and failure.type != "Verified":
        return  # it could not look; it is tried again
    decision.facts["lastVerifiedAt"] = stamp(view.world.now)
    if failure is not None:
        decision.conditions["Verified"] = failure
    else:
        decision.conditions.pop("Verified", None)


def _keep(view: WeightsView, decision: WeightsDecision) -> None:
    for found in view.status.get("conditions", ()):
        if found["type"] == "Verified" and found["status"] == "False":
            decision.say("Verified", "False", found["reason"], found["message"])
