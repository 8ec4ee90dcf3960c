"""What makes the pods of servers, in one form: a Deployment, or the LeaderWorkerSet of groups.

There are two of them only between one node and several: the newer one is what counts, the other one
leaves. Which is newer both say themselves, in the record of their rollout, so that no crash between
two writes can confuse them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from llama_operator.api import labels
from llama_operator.api.template import GROUP_SET, server_template
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import record
from llama_operator.reconcile.ownership import leaves
from llama_operator.render import probes
from llama_operator.render.deployment import SPARE_SECONDS

Object = dict[str, Any]
KINDS = ("Deployment", GROUP_SET)
Children = Mapping[tuple[str, str], Object]


def found(children: Children, name: str) -> list[Object]:
    """Both, or the one, as they are in the cluster; the one that counts first."""
    there = [children[kind, name] for kind in KINDS if (kind, name) in children]
    return sorted(there, key=turn, reverse=True)


def turn(server: Object | None) -> int:
    """How often there was a change between one node and several when it was last written."""
    kept = record.read(server)
    return kept.turn if kept else 0


def is_group(server: Object | None) -> bool:
    """Whether its pods come in groups."""
    return server is not None and server["kind"] == GROUP_SET


def as_server(raw: Object, pods: Iterable[Object], told: Object, now: datetime) -> Object:
    """A LeaderWorkerSet as if it were a Deployment, with its groups as replicas; others unchanged.

    `pods` are the first ranks, `told` is what our status says of revisions.
    """
    if not is_group(raw):
        return raw
    template = server_template(raw)
    spec = {"replicas": raw["spec"].get("replicas", 1), "template": template}
    live, meta = dict(raw.get("status", {})), raw["metadata"]
    present = [pod for pod in pods if stamp(pod) == stamp(template) and not leaves(pod)]
    # It does not say which spec its numbers are of. They are of the present one as soon as it
    # counts as many groups of it as there are.
    seen = live.get("updatedReplicas", 0) == len(present)
    live["observedGeneration"] = meta.get("generation") if seen else None
    live["conditions"] = _late(raw, template, told, now)
    return {**raw, "spec": spec, "status": live}


def _late(raw: Object, template: Object, told: Object, now: datetime) -> list[Object]:
    """What a Deployment says by itself: that it made no progress for longer than it may take.

    Only of a revision that was never ready: what it does to come back is no rollout.
    """
    kept = record.read(raw)
    since = (kept.since if kept else "") or raw["metadata"].get("creationTimestamp", "")
    ready = int(raw.get("status", {}).get("readyReplicas", 0)) >= raw["spec"].get("replicas", 1)
    if ready or not since or told.get("lastGood") == told.get("update"):
        return []
    allowed = timedelta(seconds=probes.allowed_seconds(template) + SPARE_SECONDS)
    late = now - datetime.fromisoformat(since) > allowed
    why = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    return [why] if late else []


# -- ranks ----------------------------------------------------------------------------------------


def firsts(pods: Iterable[Object]) -> tuple[Object, ...]:
    """Pods that take requests: all but the other ranks of groups."""
    return tuple(pod for pod in pods if not is_rank(pod))


def ranks(pods: Iterable[Object]) -> tuple[Object, ...]:
    """The other ranks of groups."""
    return tuple(pod for pod in pods if is_rank(pod))


def is_rank(pod: Object) -> bool:
    """Whether a pod is a rank that takes no requests."""
    own = pod["metadata"].get("labels", {})
    return bool(own.get(labels.COMPONENT) == labels.WORKER)


def group_of(pod: Object) -> str:
    """Which group of its set a pod is of; "" for none."""
    return str(pod["metadata"].get("labels", {}).get(labels.GROUP_INDEX, ""))


def complete(leader: Object, others: Iterable[Object], size: int) -> bool:
    """Whether all ranks of the group of this first one run."""
    mine = [pod for pod in others if group_of(pod) == group_of(leader) and not leaves(pod)]
    running = [pod for pod in mine if pod.get("status", {}).get("phase") == "Running"]
    return len(running) >= size - 1
