"""What Kueue says of pods and Jobs that it holds back, read from its Workloads at a bounded rate.

A pod that is held says only that it is: the queue's reason stands in the Workload that Kueue makes of
it. Workloads are not watched. They are asked for by whose they are, of few and only while they wait,
so that a deployment that was let go costs no request.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from llama_operator.api import labels
from llama_operator.diagnose import queues
from llama_operator.diagnose.queues import Workloads
from llama_operator.reconcile import resources
from llama_operator.reconcile.recent import keep
from llama_operator.reconcile.snapshot import FOLLOW_SECONDS, DeploymentView, Object
from llama_operator.runtime.api import Api
from llama_operator.runtime.clock import Clock
from llama_operator.runtime.errors import ApiError, TransportError
from llama_operator.runtime.resource import Resource

# Of one owner: what waits beside them mostly waits for the same.
OBJECTS_AT_ONCE = 4
# Kueue looks at what is new within a second.
UNTOLD_SECONDS = 3.0
# After so many looks without a word there is nobody who would say more soon.
SOON = 5
# An API server that does not answer must not hold up the deployment.
SECONDS = 5.0
KEPT = 1024
# Of both only what they share is read.
_VERSIONS = (resources.WORKLOADS.version, "v1beta1")

log = logging.getLogger(__name__)


def problem(view: DeploymentView) -> tuple[str, str] | None:
    """A reason of `Degraded`, where a queue is named and there is nobody who would heed it."""
    queue = view.spec.scheduling.queue_name
    if not queue or view.world.kueue is not None:
        return None
    return "DependencyMissing", (
        f"spec.scheduling.queueName is {queue}, and Kueue is not installed: servers start without "
        "waiting. Install Kueue (https://kueue.sigs.k8s.io/docs/installation), or remove the field"
    )


def again(workloads: Workloads) -> float | None:
    """When to ask again; None where nothing waits."""
    if not workloads:
        return None
    return UNTOLD_SECONDS if None in workloads.values() else FOLLOW_SECONDS


def served(versions: tuple[str, ...] | None) -> Resource | None:
    """The kind in the newest version that is served and that we can read; None for none."""
    found = next((each for each in _VERSIONS if each in (versions or ())), None)
    return replace(resources.WORKLOADS, version=found) if found else None


@dataclass
class _Seen:
    # None until Kueue has said something, or has said nothing for long: then it is empty.
    workload: Object | None
    asked: float
    looks: int = 1


class Queues:
    """Reads Workloads, and keeps what they said."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    async def of(
        self, versions: tuple[str, ...] | None, objects: Iterable[Object]
    ) -> dict[str, Object | None]:
        """UID -> Workload, with an entry for each object that waits: None while a word is soon to come."""
        kind = served(versions)
        waiting = sorted(filter(queues.held, objects), key=lambda obj: str(obj["metadata"]["uid"]))
        asked = waiting[:OBJECTS_AT_ONCE]
        found = await asyncio.gather(*(self._look(kind, obj) for obj in asked))
        return {obj["metadata"]["uid"]: each for obj, each in zip(asked, found, strict=True)}

    async def _look(self, kind: Resource | None, obj: Object) -> Object | None:
        if kind is None:
            return {}
        uid, now = obj["metadata"]["uid"], self._clock.monotonic()
        seen = self._seen.get(uid) or _Seen(None, -math.inf, 0)
        if now - seen.asked >= _patience(seen):
            read = await self._read(kind, obj)
            seen = _Seen(_newer(read, seen), now, seen.looks + 1)
            keep(self._seen, uid, seen, KEPT)
        return seen.workload

    async def _read(self, kind: Resource, obj: Object) -> Object | None:
        meta = obj["metadata"]
        try:
            async with asyncio.timeout(SECONDS):
                found = await self._api.list(kind, meta["namespace"], shape=slim, **_whose(obj))
        except (ApiError, TransportError, TimeoutError) as error:
            log.info("what Kueue says of %s cannot be read: %s", meta["name"], error)
            return None
        return next(iter(found), None)


def _patience(seen: _Seen) -> float:
    return UNTOLD_SECONDS if seen.workload is None else FOLLOW_SECONDS


def _newer(read: Object | None, seen: _Seen) -> Object | None:
    if read is not None and queues.says(read):
        return read
    return seen.workload or ((read or {}) if seen.looks >= SOON else None)


def _whose(obj: Object) -> dict[str, str]:
    """Which Workload is asked for: pods that are admitted together have one, and name it."""
    meta = obj["metadata"]
    group = meta.get("labels", {}).get(labels.QUEUE_GROUP)
    if group:
        return {"field_selector": f"metadata.name={group}"}
    return {"label_selector": f"{labels.QUEUE_OWNER}={meta['uid']}"}


def slim(workload: Object) -> Object:
    """Of a Workload, which repeats whole pods, its queue and its conditions."""
    conditions = workload.get("status", {}).get("conditions", [])
    queue = workload.get("spec", {}).get("queueName", "")
    return {"spec": {"queueName": queue}, "status": {"conditions": conditions}}
