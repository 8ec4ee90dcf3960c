"""What makes the pods of servers, in one form: a Deployment, the LeaderWorkerSet of groups, or an
InferenceService or LLMInferenceService of KServe.

There are two of them only between one node and several, or one back end and another: the newer one
is what counts, the other one leaves. Which is newer both say themselves, in the record of their
rollout, so that no crash between two writes can confuse them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from llama_operator.api import labels
from llama_operator.api.template import (
    GROUP_SET,
    OF_KSERVE,
    SERVER,
    replicas_of,
    server_template,
)
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import record
from llama_operator.reconcile.ownership import leaves
from llama_operator.render import probes
from llama_operator.render.deployment import SPARE_SECONDS

Object = dict[str, Any]
KINDS = (SERVER, GROUP_SET, *OF_KSERVE)
Children = Mapping[tuple[str, str], Object]
_COUNTS = ("replicas", "readyReplicas", "updatedReplicas")


@dataclass(frozen=True)
class Seen:
    """What is beside a set: the first ranks of its pods, the Deployment that KServe made of it, what
    our status tells of revisions, and the time."""

    pods: Iterable[Object]
    predictor: Object | None
    told: Object
    now: datetime


def found(children: Children, name: str) -> list[Object]:
    """Those that are in the cluster; the one that counts first."""
    there = [children[kind, name] for kind in KINDS if (kind, name) in children]
    return sorted(there, key=turn, reverse=True) if len(there) > 1 else there


def turn(server: Object | None) -> int:
    """How often another kind of object had come to make the pods when it was last written."""
    kept = record.read(server)
    return kept.turn if kept else 0


def as_server(raw: Object, seen: Seen) -> Object:
    """A set as if it were a Deployment: with its template, its replicas, and how they fare."""
    if raw["kind"] == GROUP_SET:
        return _of_groups(raw, seen)
    return _of_kserve(raw, seen) if raw["kind"] in OF_KSERVE else raw


def _of_groups(raw: Object, seen: Seen) -> Object:
    template = server_template(raw)
    spec = {"replicas": raw["spec"].get("replicas", 1), "template": template}
    live, meta = dict(raw.get("status", {})), raw["metadata"]
    present = [pod for pod in seen.pods if stamp(pod) == stamp(template) and not leaves(pod)]
    # It does not say which spec its numbers are of. They are of the present one as soon as it
    # counts as many groups of it as there are.
    counted = live.get("updatedReplicas", 0) == len(present)
    live["observedGeneration"] = meta.get("generation") if counted else None
    folded = {**raw, "spec": spec, "status": live}
    return {**folded, "status": {**live, "conditions": _late(folded, seen)}}


def _of_kserve(raw: Object, seen: Seen) -> Object:
    """Its numbers are those of the Deployment that KServe makes of it.

    What KServe says it has observed is not what it has carried out, or is of that Deployment.
    """
    template, meta = server_template(raw), raw["metadata"]
    count = replicas_of(raw)
    made = seen.predictor or {}
    live = made.get("status", {})
    same = stamp(server_template(made)) == stamp(template)
    status: Object = {name: live.get(name, 0) for name in _COUNTS}
    if not same:
        status["updatedReplicas"] = 0
    follows = same and made["spec"].get("replicas") == count and _observed(made)
    status["observedGeneration"] = meta.get("generation") if follows else None
    folded = {**raw, "spec": {"replicas": count, "template": template}, "status": status}
    failed = [each for each in live.get("conditions", ()) if each["type"] == "ReplicaFailure"]
    return {**folded, "status": {**status, "conditions": [*_late(folded, seen), *failed]}}


def _observed(made: Object) -> bool:
    return bool(
        made.get("status", {}).get("observedGeneration") == made["metadata"].get("generation")
    )


def _late(folded: Object, seen: Seen) -> list[Object]:
    """What a Deployment says by itself: that it made no progress for longer than it may take.

    Only of a revision that was never ready: what it does to come back is no rollout. KServe gives its
    Deployment ten minutes, whatever a start may take.
    """
    kept, told, spec = record.read(folded), seen.told, folded["spec"]
    since = (kept.since if kept else "") or folded["metadata"].get("creationTimestamp", "")
    ready = int(folded["status"].get("readyReplicas", 0)) >= spec["replicas"]
    if ready or not since or told.get("lastGood") == told.get("update"):
        return []
    allowed = timedelta(seconds=probes.allowed_seconds(spec["template"]) + SPARE_SECONDS)
    late = seen.now - datetime.fromisoformat(since) > allowed
    why = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    return [why] if late else []


# -- ranks ----------------------------------------------------------------------------------------


def firsts(pods: Iterable[Object]) -> tuple[Object, ...]:
    """Pods that take requests: all but the other ranks of groups, and canaries."""
    return tuple(pod for pod in pods if not is_rank(pod) and not is_canary(pod))


def canaries(pods: Iterable[Object]) -> tuple[Object, ...]:
    """Those of a revision that is tried beside the others."""
    return tuple(filter(is_canary, pods))


def ranks(pods: Iterable[Object]) -> tuple[Object, ...]:
    """The other ranks of groups."""
    return tuple(pod for pod in pods if is_rank(pod))


def is_rank(pod: Object) -> bool:
    """Whether a pod is a rank that takes no requests."""
    return _component(pod) == labels.WORKER


def is_canary(pod: Object) -> bool:
    """Whether a pod is the one server of a revision that is tried."""
    return _component(pod) == labels.TRIED


def _component(pod: Object) -> str:
    return str(pod["metadata"].get("labels", {}).get(labels.COMPONENT, ""))


def group_of(pod: Object) -> str:
    """Which group of its set a pod is of; "" for none."""
    return str(pod["metadata"].get("labels", {}).get(labels.GROUP_INDEX, ""))


def complete(leader: Object, others: Iterable[Object], size: int) -> bool:
    """Whether all ranks of the group of this first one run."""
    mine = [pod for pod in others if group_of(pod) == group_of(leader) and not leaves(pod)]
    running = [pod for pod in mine if pod.get("status", {}).get("phase") == "Running"]
    return len(running) >= size - 1
