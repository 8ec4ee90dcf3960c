"""What a LlamaWeights needs next: preflight, claim, fetch, then care for the finished copy.

Each step is proven by what the API server holds: the preflight by `status.commit`, the fetch by
`status.digest`. A Job is deleted only after its result stands in the status, so a crash
anywhere repeats a step at worst; both steps are safe to repeat.
"""

from __future__ import annotations

from typing import TypeGuard

from llama_operator.api.conditions import Condition
from llama_operator.diagnose import queues
from llama_operator.diagnose.pods import Cause
from llama_operator.reconcile import outcome, reverify, source, usage
from llama_operator.reconcile import queues as kueue
from llama_operator.reconcile.actions import ClearProgress
from llama_operator.reconcile.findings import WeightsDecision, stamp
from llama_operator.reconcile.outcome import RETRY_SECONDS, SECRET_POLL_SECONDS, WAIT_FOR_URL
from llama_operator.reconcile.ownership import converge, delete
from llama_operator.reconcile.snapshot import FOLLOW_SECONDS, Object, WeightsView
from llama_operator.reconcile.volume import lost_claim, volume_condition
from llama_operator.render import jobs, render
from llama_operator.render.inputs import Fetching

_FOUND = ("commit", "bytes", "shape")
_FOUND_ADAPTER = ("commit", "bytes", "adapter")
_FETCHED = ("digest", "bytes", "files", "format")
_KEPT = "What has been fetched is kept; a new URL goes on at the same byte"
_ANSWERED = ("Accessible", "Downloaded", "Verified", "Converted")


def decide(view: WeightsView) -> WeightsDecision:
    """The next actions for a LlamaWeights that is not being deleted."""
    decision = WeightsDecision(facts=_kept_facts(view.status))
    usage.judge(view, decision)
    if view.status.get("digest"):
        _finished(view, decision)
        return decision
    if view.url and view.url.url:
        decision.facts["urlExpiresAt"] = view.url.url.expires_at
    try:
        fetching = source.fetching(view)
    except source.UnusableSourceError as unusable:
        _unusable(view, unusable, decision)
        return decision
    _prune_jobs(view, fetching, decision)
    for again in (FOLLOW_SECONDS if view.events else None, kueue.again(view.queued)):
        if again is not None:
            decision.again(again)
    _advance(view, fetching, decision)
    return decision


def _kept_facts(status: Object) -> Object:
    kept = ("claimName", "path", "digest", "commit", "bytes", "files", "format", "shape", "adapter")
    return {name: status[name] for name in (*kept, "lastVerifiedAt") if name in status}


def _unusable(
    view: WeightsView, unusable: source.UnusableSourceError, decision: WeightsDecision
) -> None:
    decision.conditions[unusable.condition.type] = unusable.condition
    if unusable.waits:
        decision.again(SECRET_POLL_SECONDS)
        if view.status.get("commit"):
            decision.say("Downloaded", "False", "WaitingForURL", _KEPT)


def _finished(view: WeightsView, decision: WeightsDecision) -> None:
    kept = reverify.current(view)
    done = [obj for (kind, name), obj in view.children.items() if kind == "Job" and name != kept]
    decision.actions += [delete(job) for job in done]
    if view.status.get("progress"):
        decision.actions.append(ClearProgress(view.owner.namespace, view.owner.name))
    # Never what the status says: the fetch Job may patch it, and servers mount what stands here.
    decision.facts["claimName"] = source.claim_of(view)
    lost = lost_claim(view)
    if lost is not None:
        decision.conditions["VolumeReady"] = lost
    else:
        reverify.judge(view, decision)


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
    _accessible(fetching, decision)
    decision.facts |= {"claimName": fetching.claim or source.placed_claim(view)}
    decision.facts |= {"path": fetching.path}
    if ("PersistentVolumeClaim", fetching.claim) in view.children:
        # Before it is judged: one that is too small grows only by this.
        decision.actions += converge(render.claim_objects(fetching), view.children)
    volume = volume_condition(view, fetching)
    decision.conditions["VolumeReady"] = volume
    if volume.status == "False" and volume.reason != "WaitingForConsumer":
        decision.again(RETRY_SECONDS)
        return
    _fetch(view, fetching, decision)


def _accessible(fetching: Fetching, decision: WeightsDecision) -> None:
    decision.say("Accessible", "True", "Authorized", f"{fetching.origin.said} can be read")


def _preflight(view: WeightsView, fetching: Fetching, decision: WeightsDecision) -> None:
    missing = source.missing_claim(view)
    if missing is not None:
        decision.conditions["VolumeReady"] = missing
        decision.again(RETRY_SECONDS)
        return
    job = view.children.get(("Job", jobs.preflight_name(fetching)))
    if job is None:
        _asking(view, fetching, decision)
        decision.actions += converge(render.preflight_objects(fetching), view.children)
        return
    found = _FOUND_ADAPTER if view.spec.adapter else _FOUND
    result = outcome.of_job(view, job, "Accessible", found, decision)
    if result is None:
        _asking(view, fetching, decision, outcome.why_it_waits(view, job))
        return
    _accessible(fetching, decision)
    if result.failure:
        decision.conditions[result.failure.type] = result.failure
    else:
        decision.facts |= result.values


def _asking(
    view: WeightsView, fetching: Fetching, decision: WeightsDecision, why: Cause | None = None
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
    # What a Secret lacked is known to be there by now.
    if refused and refused[0].reason not in ("SecretMissing", *WAIT_FOR_URL):
        decision.conditions |= {entry.type: entry for entry in before}
    else:
        said = f"Asking for {fetching.origin.said}"
        decision.say("Accessible", "Unknown", "Checking", why.message if why else said)
        if _held(why):
            decision.say("Accessible", "Unknown", "Queued", why.message)
        _lacking(why, decision)


def _held(why: Cause | None) -> TypeGuard[Cause]:
    """Whether it is a queue that holds the Job back."""
    return why is not None and why.reason == queues.REASON


def _queued(view: WeightsView, why: Cause | None, decision: WeightsDecision) -> None:
    """A fetch that is suspended: nothing that it told of its progress moves, and no URL waits for it."""
    if not _held(why):
        return
    until = decision.facts.get("urlExpiresAt")
    ends = f". The URL ends at {until}; a later one goes on at the same byte" if until else ""
    decision.say("Downloaded", "False", "Queued", f"{why.message}{ends}")
    if view.status.get("progress"):
        decision.actions.append(ClearProgress(view.owner.namespace, view.owner.name))


def _lacking(why: Cause | None, decision: WeightsDecision) -> None:
    """A Job that waits for what somebody has to make is no longer a question of time."""
    if why and why.reason == "SecretMissing":
        decision.say("Accessible", "False", why.reason, why.message)


def _fetch(view: WeightsView, fetching: Fetching, decision: WeightsDecision) -> None:
    job = view.children.get(("Job", jobs.fetch_name(fetching)))
    said = f"Fetching {fetching.origin.said} at {fetching.commit[:12]}"
    decision.say("Downloaded", "False", "Downloading", said)
    if job is None:
        decision.actions += converge(render.fetch_objects(fetching), view.children)
        return
    result = outcome.of_job(view, job, "Downloaded", _FETCHED, decision)
    if result is None:
        why = outcome.why_it_waits(view, job)
        if why:
            decision.say("Downloaded", "False", "Downloading", why.message)
        _queued(view, why, decision)
        _lacking(why, decision)
        return
    if result.failure:
        _failed(result.failure, decision)
    else:
        decision.facts |= {name: result.values[name] for name in _FETCHED}
        decision.facts["lastVerifiedAt"] = stamp(view.world.now)
        decision.facts.pop("urlExpiresAt", None)
        decision.conditions.clear()  # a complete copy says it all


def _failed(failure: Condition, decision: WeightsDecision) -> None:
    if failure.reason in WAIT_FOR_URL:
        decision.say("Downloaded", "False", "WaitingForURL", _KEPT)
    else:
        decision.say("Downloaded", "False", "Failed", "The fetch failed; it is tried again")
    decision.conditions[failure.type] = failure
