"""What became of a Job: its pods, its last words, and when to try again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from llama_operator.diagnose import events as kubernetes
from llama_operator.diagnose import pods as diagnose
from llama_operator.diagnose import queues, results
from llama_operator.diagnose.pods import Cause
from llama_operator.reconcile.findings import WeightsDecision
from llama_operator.reconcile.ownership import delete
from llama_operator.reconcile.snapshot import Object, WeightsView
from llama_operator.reconcile.source import ended

RETRY_SECONDS = 60.0
SECRET_POLL_SECONDS = 10.0
# Only another URL helps, and each try would use up one of its downloads.
WAIT_FOR_URL = ("URLExpired", "URLExhausted", "URLInvalid", "URLWrongFamily")


def of_job(
    view: WeightsView,
    job: Object,
    condition: str,
    needed: tuple[str, ...],
    decision: WeightsDecision,
) -> results.Result | None:
    """What the Job's last attempt said; a Job that failed for good is replaced after a while."""
    result = results.read(_pods_of(view, job), condition, needed)
    failed = result is None or result.failure is not None
    if failed and result and result.failure and result.failure.reason in WAIT_FOR_URL:
        decision.again(SECRET_POLL_SECONDS)
    elif failed and ended(job):
        _again(view, job, decision)
    return result if ended(job) or (result and result.failure) else None


def why_it_waits(view: WeightsView, job: Object) -> Cause | None:
    """Why the pods of a Job do not run; None where they do, or nothing is known."""
    pods = _pods_of(view, job)
    held = queues.cause([job, *pods], view.queued)
    if held is not None:
        return held
    cause = diagnose.not_started(pods, diagnose.JOB_IMAGE)
    cause = cause or kubernetes.worst([*pods, job], view.events)
    return cause and replace(cause, message=f"The Job does not start. {cause.message}")


def _pods_of(view: WeightsView, job: Object) -> list[Object]:
    uid = job["metadata"]["uid"]
    return [
        pod
        for pod in view.pods
        if any(ref.get("uid") == uid for ref in pod["metadata"].get("ownerReferences", ()))
    ]


def _again(view: WeightsView, job: Object, decision: WeightsDecision) -> None:
    conditions = job.get("status", {}).get("conditions", ())
    over = max((c.get("lastTransitionTime", "") for c in conditions), default="")
    since = datetime.fromisoformat(over) if over else view.world.now
    # Told by the clock of another machine, which may be ahead of this one.
    left = min(RETRY_SECONDS, RETRY_SECONDS - (view.world.now - since).total_seconds())
    if left <= 0:
        decision.actions.append(delete(job))
    else:
        decision.again(left)
