"""What a LlamaWeights needs next: preflight, claim, fetch, then care for the finished copy.

Each step is proven by what the API server holds: the preflight by `status.commit`, the fetch by
`status.digest`. A Job is deleted only after its result stands in the status, so a crash
anywhere repeats a step at worst; both steps are safe to repeat.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from llama_operator.api import labels
from llama_operator.api.conditions import Condition, Status
from llama_operator.api.quantity import parse_duration
from llama_operator.diagnose import pods as diagnose
from llama_operator.reconcile import results, source
from llama_operator.reconcile.actions import Action, ClearProgress, Delete, SetFinalizer
from llama_operator.reconcile.ownership import converge, delete
from llama_operator.reconcile.snapshot import Object, WeightsView
from llama_operator.reconcile.volume import lost_claim, volume_condition
from llama_operator.render import jobs, render
from llama_operator.render.inputs import Fetching

RETRY_SECONDS = 60.0
SECRET_POLL_SECONDS = 10.0
# A server that moves to another copy changes no object that this one is told of.
RELEASE_POLL_SECONDS = 30.0
_FOUND = ("commit", "bytes", "shape")
_FETCHED = ("digest", "bytes", "files", "format")


@dataclass
class WeightsDecision:
    """What to do, and what was found on the way (facts for the status)."""

    actions: list[Action] = field(default_factory=list)
    # Conditions that are known now, by type; the rest follow from the facts.
    conditions: dict[str, Condition] = field(default_factory=dict)
    facts: Object = field(default_factory=dict)
    requeue_after: float | None = None

    def say(self, kind: str, status: Status, reason: str, message: str) -> None:
        """Set one condition."""
        self.conditions[kind] = Condition(kind, status, reason, message)

    def again(self, seconds: float) -> None:
        """Ask to be called again; the soonest wish counts."""
        self.requeue_after = min(seconds, self.requeue_after or seconds)


def decide(view: WeightsView) -> WeightsDecision:
    """The next actions for a LlamaWeights that is not being deleted."""
    decision = WeightsDecision(facts=_kept_facts(view.status))
    _usage(view, decision)
    if view.status.get("digest"):
        _finished(view, decision)
        return decision
    try:
        fetching = source.fetching(view)
    except source.UnusableSourceError as unusable:
        decision.conditions[unusable.condition.type] = unusable.condition
        return decision
    _prune_jobs(view, fetching, decision)
    _advance(view, fetching, decision)
    return decision


def _kept_facts(status: Object) -> Object:
    kept = ("claimName", "path", "digest", "commit", "bytes", "files", "format", "shape")
    return {name: status[name] for name in kept if name in status}


def _usage(view: WeightsView, decision: WeightsDecision) -> None:
    finalizers = view.raw["metadata"].get("finalizers", ())
    present, wanted = labels.FINALIZER in finalizers, bool(view.users)
    if present != wanted:
        owner = view.owner
        decision.actions.append(SetFinalizer(owner.namespace, owner.name, owner.uid, wanted))
    if view.leaving:
        decision.again(RELEASE_POLL_SECONDS)
    if not wanted:
        _unused(view, decision)


def _unused(view: WeightsView, decision: WeightsDecision) -> None:
    since = view.status.get("unusedSince") or _stamp(view.world.now)
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


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _finished(view: WeightsView, decision: WeightsDecision) -> None:
    done = [obj for key, obj in view.children.items() if key[0] == "Job"]
    decision.actions += [delete(job) for job in done]
    if view.status.get("progress"):
        decision.actions.append(ClearProgress(view.owner.namespace, view.owner.name))
    # Never what the status says: the fetch Job may patch it, and servers mount what stands here.
    decision.facts["claimName"] = source.claim_of(view)
    lost = lost_claim(view)
    if lost is not None:
        decision.conditions["VolumeReady"] = lost


def _prune_jobs(view: WeightsView, fetching: Fetching, decision: WeightsDecision) -> None:
    current = jobs.fetch_name(fetching) if fetching.commit else jobs.preflight_name(fetching)
    stale = [
        obj for (kind, name), obj in view.children.items() if kind == "Job" and name != current
    ]
    decision.actions += [delete(job) for job in stale]


def _token_is_there(view: WeightsView, decision: WeightsDecision) -> bool:
    problem = source.token_problem(view)
    if problem:
        decision.say("Accessible", "False", "SecretMissing", problem)
        decision.again(SECRET_POLL_SECONDS)
    return not problem


def _advance(view: WeightsView, fetching: Fetching, decision: WeightsDecision) -> None:
    if not _token_is_there(view, decision):
        return
    if not fetching.commit:
        _preflight(view, fetching, decision)
        return
    decision.say("Accessible", "True", "Authorized", f"{fetching.repo} can be read")
    decision.facts |= {"claimName": fetching.claim, "path": fetching.path}
    if ("PersistentVolumeClaim", fetching.claim) in view.children:
        # Before it is judged: one that is too small grows only by this.
        decision.actions += converge(render.claim_objects(fetching), view.children)
    volume = volume_condition(view, fetching)
    decision.conditions["VolumeReady"] = volume
    if volume.status == "False" and volume.reason != "WaitingForConsumer":
        decision.again(RETRY_SECONDS)
        return
    _fetch(view, fetching, decision)


def _preflight(view: WeightsView, fetching: Fetching, decision: WeightsDecision) -> None:
    job = view.children.get(("Job", jobs.preflight_name(fetching)))
    if job is None:
        _asking(view, fetching, decision)
        decision.actions += converge(render.preflight_objects(fetching), view.children)
        return
    result = _result(view, job, "Accessible", _FOUND, decision)
    if result is None:
        _asking(view, fetching, decision, _why_it_waits(view, job))
        return
    decision.say("Accessible", "True", "Authorized", f"{fetching.repo} can be read")
    if result.failure:
        decision.conditions[result.failure.type] = result.failure
    else:
        decision.facts |= result.values


def _asking(
    view: WeightsView, fetching: Fetching, decision: WeightsDecision, why: str = ""
) -> None:
    """What is said while the source is asked: an earlier answer stands until there is another.

    Each new attempt would otherwise flip the conditions there and back, for ever.
    """
    generation = view.raw["metadata"].get("generation", 0)
    before = [
        Condition(entry["type"], entry["status"], entry["reason"], entry["message"])
        for entry in view.status.get("conditions", ())
        if entry.get("observedGeneration") == generation and entry["type"] in _ANSWERED
    ]
    refused = [entry for entry in before if entry.status == "False"]
    if refused and refused[0].reason != "SecretMissing":
        decision.conditions |= {entry.type: entry for entry in before}
    else:
        decision.say("Accessible", "Unknown", "Checking", why or f"Asking for {fetching.repo}")


_ANSWERED = ("Accessible", "Downloaded", "Verified", "Converted")


def _why_it_waits(view: WeightsView, job: Object) -> str:
    cause = diagnose.not_started(_pods_of(view, job), diagnose.JOB_IMAGE)
    return f"The Job does not start. {cause.message}" if cause else ""


def _fetch(view: WeightsView, fetching: Fetching, decision: WeightsDecision) -> None:
    job = view.children.get(("Job", jobs.fetch_name(fetching)))
    decision.say(
        "Downloaded", "False", "Downloading", f"Fetching {fetching.repo} at {fetching.commit[:12]}"
    )
    if job is None:
        decision.actions += converge(render.fetch_objects(fetching), view.children)
        return
    result = _result(view, job, "Downloaded", _FETCHED, decision)
    if result is None:
        why = _why_it_waits(view, job)
        if why:
            decision.say("Downloaded", "False", "Downloading", why)
        return
    if result.failure:
        decision.say("Downloaded", "False", "Failed", "The fetch failed; it is tried again")
        decision.conditions[result.failure.type] = result.failure
    else:
        decision.facts |= {name: result.values[name] for name in _FETCHED}
        decision.conditions.clear()  # a complete copy says it all


def _ended(job: Object) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def _pods_of(view: WeightsView, job: Object) -> list[Object]:
    uid = job["metadata"]["uid"]
    return [
        pod
        for pod in view.pods
        if any(ref.get("uid") == uid for ref in pod["metadata"].get("ownerReferences", ()))
    ]


def _result(
    view: WeightsView,
    job: Object,
    condition: str,
    needed: tuple[str, ...],
    decision: WeightsDecision,
) -> results.Result | None:
    """What the Job's last attempt said; a Job that failed for good is replaced after a while."""
    result = results.read(_pods_of(view, job), condition, needed)
    if _ended(job) and (result is None or result.failure):
        _again(view, job, decision)
    return result if _ended(job) or (result and result.failure) else None


def _again(view: WeightsView, job: Object, decision: WeightsDecision) -> None:
    conditions = job.get("status", {}).get("conditions", ())
    ended = max((c.get("lastTransitionTime", "") for c in conditions), default="")
    since = datetime.fromisoformat(ended) if ended else view.world.now
    left = RETRY_SECONDS - (view.world.now - since).total_seconds()
    if left <= 0:
        decision.actions.append(delete(job))
    else:
        decision.again(left)
