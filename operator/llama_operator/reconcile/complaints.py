"""What Kubernetes complains of about objects that wait, read from their events at a bounded rate.

A pod whose volume cannot be mounted changes no more once it has a node: nothing tells of it but its
events. They are asked for by the object's UID, and only of what has waited for a while, so a
deployment that starts as it should costs no request and one that serves none either. What cannot
be read is as if nothing had been said.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from llama_operator.diagnose.events import Event, waiting_since
from llama_operator.reconcile import resources
from llama_operator.reconcile.recent import keep
from llama_operator.reconcile.snapshot import FOLLOW_SECONDS, Object
from llama_operator.runtime.api import Api
from llama_operator.runtime.clock import Clock
from llama_operator.runtime.errors import ApiError, TransportError

# Of one owner: what waits beside them mostly waits for the same.
OBJECTS_AT_ONCE = 4
# An API server that does not answer must not hold up the deployment.
SECONDS = 5.0
KEPT = 1024

log = logging.getLogger(__name__)


@dataclass
class _Seen:
    events: tuple[Event, ...]
    asked: float


class Complaints:
    """Reads events, and keeps what they said."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    async def of(self, objects: Iterable[Object]) -> dict[str, tuple[Event, ...]]:
        """UID -> events, with an entry for each object that waits, also while there are none."""
        waiting = [(obj["metadata"]["uid"], obj) for obj in objects if waiting_since(obj)]
        waiting.sort(key=lambda each: str(each[0]))
        asked = waiting[:OBJECTS_AT_ONCE]
        found = await asyncio.gather(*(self._look(uid, obj) for uid, obj in asked))
        return {uid: events for (uid, _), events in zip(asked, found, strict=True)}

    async def _look(self, uid: str, obj: Object) -> tuple[Event, ...]:
        seen, now = self._seen.get(uid), self._clock.monotonic()
        if seen is None and not self._long(obj):
            return ()
        if seen is None or now - seen.asked >= FOLLOW_SECONDS:
            read = await self._read(uid, obj)
            seen = _Seen(read if read is not None else seen.events if seen else (), now)
            keep(self._seen, uid, seen, KEPT)
        return seen.events

    def _long(self, obj: Object) -> bool:
        """A volume that is attached for the first time fails to mount for a moment."""
        since = datetime.fromisoformat(waiting_since(obj))
        return (self._clock.now() - since).total_seconds() >= FOLLOW_SECONDS

    async def _read(self, uid: str, obj: Object) -> tuple[Event, ...] | None:
        meta = obj["metadata"]
        try:
            async with asyncio.timeout(SECONDS):
                found = await self._api.list(
                    resources.EVENTS,
                    meta["namespace"],
                    field_selector=f"involvedObject.uid={uid}",
                )
        except (ApiError, TransportError, TimeoutError) as error:
            log.info("the events of %s cannot be read: %s", meta["name"], error)
            return None
        return tuple(found)
