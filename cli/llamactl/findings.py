"""What is wrong with a deployment, from all that was read of it. Pure.

The operator's own conditions come first, in the order in which one follows from another: a plan,
weights, servers. The servers are judged once more here, by the operator's own function, since a
condition has no room for the patch and the operator may be gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from llama_operator.diagnose import events as kubernetes
from llama_operator.diagnose import pods, queues, results, servers
from llama_operator.diagnose.pods import Cause
from llamactl import view
from llamactl.checkup import Checkup
from llamactl.waiting import NO_OPERATOR_SECONDS

Object = Mapping[str, Any]

HEALTHY, HEALTHY_TEXT = "Healthy", "Nothing is known to be wrong"
# Steps of LlamaWeights, in their order, and what only takes its time.
STEPS = ("Accessible", "VolumeReady", "Downloaded", "Verified", "Converted")
UNDER_WAY = {"Pending", "Checking", "WaitingForConsumer", "Downloading", "Locked", "Verifying"}
UNDER_WAY |= {"Converting", "Paused", "Starting", "RollingOut", "ScalingUp"}
JOB_NAME = "batch.kubernetes.io/job-name"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: its CamelCase cause, of which object, why, and what mends it."""

    cause: str
    about: str
    explanation: str
    evidence: str = ""
    fix: Mapping[str, Any] = field(default_factory=dict)


def find(seen: Checkup, now: datetime | None = None) -> list[Finding]:
    """All that is wrong, the first cause first; none where nothing is."""
    found: list[Finding] = []
    for each in _all(seen, now or datetime.now(UTC)):
        told = any(each.cause == old.cause or each.explanation == old.explanation for old in found)
        if not told:
            found.append(each)
    return found


def _all(seen: Checkup, now: datetime) -> Iterator[Finding]:
    yield from _silent(seen, now)
    yield from _condition(seen.deployment, "Planned")
    yield from _weights(seen)
    yield from _servers(seen)
    yield from _trial(seen)
    yield from _condition(seen.deployment, "Progressing")
    yield from _complaints(seen)


def _name(obj: Object | None) -> str:
    return f"{(obj or {}).get('kind', 'Pod')} {view.name_of(obj or {})}"


def _condition(obj: Object, kind: str) -> Iterator[Finding]:
    found = view.condition(obj, kind)
    reason = str(found.get("reason", ""))
    bad = "True" if kind == "Degraded" else "False"
    waits = reason == queues.REASON and kind != "Degraded"
    if waits or (found.get("status") == bad and reason not in UNDER_WAY):
        yield Finding(reason, _name(obj), str(found.get("message", "")))


def _silent(seen: Checkup, now: datetime) -> Iterator[Finding]:
    """No operator looks at it: what its conditions say is of the past."""
    meta = seen.deployment.get("metadata", {})
    observed = view.path(seen.deployment, "status", "observedGeneration")
    if observed is not None and observed >= int(meta.get("generation") or 0):
        return
    if view.condition(seen.deployment, "Ready") and observed is None:
        return
    if (now - _written(meta, now)).total_seconds() > NO_OPERATOR_SECONDS:
        text = (
            "No operator has looked at this spec. Is llama-operator running, does it watch this "
            "namespace, and has it its rights? `llamactl doctor cluster` looks at that"
        )
        yield Finding("NotReconciled", _name(seen.deployment), text)


def _written(meta: Object, now: datetime) -> datetime:
    times = [each.get("time") for each in meta.get("managedFields") or ()]
    last = max(filter(None, [meta.get("creationTimestamp"), *times]), default="")
    return datetime.fromisoformat(str(last)) if last else now


def _weights(seen: Checkup) -> Iterator[Finding]:
    if seen.weights is None:
        yield from _condition(seen.deployment, "WeightsReady")
        return
    if view.is_true(seen.weights, "Ready"):
        return
    found = list(_copy(seen.weights, seen.job_pods, seen.waiting))
    # It repeats what one of those says.
    yield from found or _condition(seen.deployment, "WeightsReady")


def _copy(
    weights: Object, job_pods: Sequence[Object], waiting: kubernetes.Events
) -> Iterator[Finding]:
    """What keeps a copy from being ready: its Job, its conditions, the Job's last words."""
    found = [dict(pod) for pod in job_pods]
    held = pods.not_started(found, pods.JOB_IMAGE) or kubernetes.worst(found, waiting)
    if held is not None:
        yield _of_cause(held, _name(weights))
    for kind in STEPS:
        yield from _condition(weights, kind)
    result = results.read(_newest_job(job_pods), "Downloaded")
    if result is not None and result.failure is not None:
        yield Finding(result.failure.reason, _name(weights), result.failure.message)


def _newest_job(found: Iterable[Object]) -> list[dict[str, Any]]:
    """The pods of the Job that was made last."""
    by_age = sorted(found, key=lambda pod: str(view.path(pod, "metadata", "creationTimestamp")))
    name = view.path(by_age[-1], "metadata", "labels", JOB_NAME) if by_age else None
    return [dict(p) for p in by_age if view.path(p, "metadata", "labels", JOB_NAME) == name]


def _servers(seen: Checkup) -> Iterator[Finding]:
    own = _worst(seen, seen.pods, seen.server)
    condition = next(_condition(seen.deployment, "Degraded"), None)
    if condition is not None and (own is None or own.reason != condition.cause):
        yield condition
    # Without the right to read logs less is known here than the operator knows.
    if own is not None and (own.reason != "CrashLooping" or _agrees(condition)):
        yield _of_cause(own, _name(seen.deployment))


def _trial(seen: Checkup) -> Iterator[Finding]:
    """What keeps the one server of a new revision from answering."""
    found = _worst(seen, seen.tried, seen.trial)
    if found is not None:
        yield _of_cause(found, f"Deployment {view.name_of(seen.trial or {})}")


def _worst(seen: Checkup, of_server: Sequence[Object], made: Object | None) -> Cause | None:
    server = dict(made) if made else None
    found = servers.worst([dict(pod) for pod in of_server], server, seen.logs, seen.waiting)
    return found or servers.refused(server)


def _agrees(condition: Finding | None) -> bool:
    return condition is None or condition.cause == "CrashLooping"


def _of_cause(cause: Cause, otherwise: str) -> Finding:
    about = f"Pod {cause.pod}" if cause.pod else otherwise
    return Finding(cause.reason, about, cause.message, cause.evidence, cause.fix)


def _complaints(seen: Checkup) -> Iterator[Finding]:
    """What a ReplicaSet says that makes no pods: its Deployment may not repeat it yet."""
    if seen.pods or seen.server is None:
        return
    for event in seen.events:
        name = view.path(event, "involvedObject", "name")
        found = kubernetes.cause([dict(event)])
        if found is not None and view.path(event, "involvedObject", "kind") == "ReplicaSet":
            yield _of_cause(found, f"ReplicaSet {name}")
