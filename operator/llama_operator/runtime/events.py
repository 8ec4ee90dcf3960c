"""Events for people (events.k8s.io/v1), few enough that nobody minds.

Repeats of (object, type, reason, action) are counted here and sent as one series, at most every
few minutes; a token bucket caps what a whole process may send. Recording never waits and never
fails: what cannot be sent is dropped and counted, since an event is a hint and status the truth.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from .api import Api
from .clock import within
from .errors import ClusterError, NotFound
from .leader import micro_time
from .ratelimit import TokenBucket
from .resource import EVENTS, Object
from .statelog import StateLog

log = logging.getLogger(__name__)

NOTE_BYTES = 1024
SERIES_SECONDS = 300.0
"""How often a series is written, and how long after its last event it counts as ended."""

MAX_WAITING = 1000
MAX_SERIES = 4096
FLUSH_SECONDS = 2.0
Subject = tuple[str, str, str, str]
SeriesKey = tuple[Subject, str, str, str]


@dataclass(slots=True, eq=False)
class _Series:
    body: Object
    written_at: float
    last: datetime
    seen_at: float
    count: int = 1
    unsaid: int = 0


class EventRecorder:
    """Records events as `controller` (a domain name, by convention); 1 a second, 25 in a burst.

    `run` sends them and must run beside the controllers (Manager.add).
    """

    def __init__(
        self,
        api: Api,
        controller: str,
        instance: str | None = None,
        *,
        bucket: TokenBucket | None = None,
    ) -> None:
        self._api = api
        self._clock = api.clock
        self._controller = controller
        self._instance = instance or os.environ.get("POD_NAME") or os.uname().nodename
        self._bucket = bucket or TokenBucket(1.0, 25, self._clock)
        self._series: dict[SeriesKey, _Series] = {}
        self._waiting: deque[tuple[_Series, bool]] = deque()
        self._news = asyncio.Event()
        self._states = StateLog(log)
        self.dropped = 0

    def event(
        self,
        obj: Object,
        kind: Literal["Normal", "Warning"],
        reason: str,
        action: str,
        note: str,
        *,
        related: Object | None = None,
    ) -> None:
        """Say that `action` on `obj` led to `reason` (both CamelCase); `note` is for people.

        The note of the first event of a series stays. Notes are cut at 1 KiB.
        """
        key = (_subject(obj), kind, reason, action)
        now = self._clock.monotonic()
        series = self._series.get(key)
        if series is not None and now - series.seen_at < SERIES_SECONDS:
            self._again(series, now)
            return
        self._make_room(key)
        if not self._admitted():
            return  # and not remembered: should it come again, it may be sent then
        body = self._body(obj, kind, reason, action, note, related)
        series = _Series(body, now, self._clock.now(), now)
        self._series[key] = series
        self._send(series, first=True)

    def _again(self, series: _Series, now: float) -> None:
        series.count += 1
        series.unsaid += 1
        series.seen_at, series.last = now, self._clock.now()
        if now - series.written_at >= SERIES_SECONDS:
            series.written_at = now
            self._say_again(series)

    def _admitted(self) -> bool:
        admitted = len(self._waiting) < MAX_WAITING and self._bucket.allow()
        self.dropped += not admitted
        return admitted

    def _say_again(self, series: _Series) -> None:
        if self._admitted():
            self._send(series, first=False)

    def _send(self, series: _Series, *, first: bool) -> None:
        self._waiting.append((series, first))
        self._news.set()

    def _make_room(self, key: SeriesKey) -> None:
        """Forget the series that is followed by a new one, and the oldest when there are many."""
        self._end(key)
        if len(self._series) >= MAX_SERIES:
            self._end(next(iter(self._series)))

    def _end(self, key: SeriesKey) -> None:
        """Forget a series, after it has said its final count."""
        series = self._series.pop(key, None)
        if series is not None and series.unsaid:
            self._say_again(series)

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SERIES_SECONDS)
            now = self._clock.monotonic()
            for key in [k for k, s in self._series.items() if now - s.seen_at >= SERIES_SECONDS]:
                self._end(key)

    def _body(
        self, obj: Object, kind: str, reason: str, action: str, note: str, related: Object | None
    ) -> Object:
        metadata = obj["metadata"]
        body: Object = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {
                "name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}",
                "namespace": metadata.get("namespace") or "default",
            },
            "eventTime": micro_time(self._clock.now()),
            "reportingController": self._controller,
            "reportingInstance": self._instance[:128],
            "type": kind,
            "reason": reason[:128],
            "action": action[:128],
            "note": cut(note, NOTE_BYTES),
            "regarding": reference(obj),
        }
        if related is not None:
            body["related"] = reference(related)
        return body

    # -- sending ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what is recorded until cancelled, then what is left for at most two seconds."""
        sweeper = asyncio.create_task(self._sweep())
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                await self._flush()
        finally:
            sweeper.cancel()
            await self._last_words()

    async def _last_words(self) -> None:
        for series in self._series.values():
            if series.unsaid and (series, False) not in self._waiting:
                self._waiting.append((series, False))
        try:
            await within(self._clock, FLUSH_SECONDS, self._flush())
        except TimeoutError:
            self.dropped += len(self._waiting)

    async def _flush(self) -> None:
        while self._waiting:
            series, first = self._waiting.popleft()
            try:
                await (self._create(series) if first else self._count(series))
            except ClusterError as error:
                self.dropped += 1
                self._states.failed("", "event dropped", error)
            else:
                self._states.recovered("", "events are accepted again")

    async def _create(self, series: _Series) -> None:
        # Not fenced: an event of a process that lost its lease tells the truth all the same.
        await self._api.create(EVENTS, series.body, urgent=True)

    async def _count(self, series: _Series) -> None:
        metadata = series.body["metadata"]
        observed = {"count": series.count, "lastObservedTime": micro_time(series.last)}
        series.unsaid = 0
        where = (metadata["namespace"], metadata["name"])
        try:
            await self._api.patch(EVENTS, *where, {"series": observed}, urgent=True)
        except NotFound:
            # Events live an hour on the server; a longer series starts a new one.
            series.body = {**series.body, "series": observed}
            series.body["metadata"] = {**metadata, "name": _renamed(metadata["name"])}
            await self._create(series)


def _renamed(name: str) -> str:
    return f"{name.rpartition('.')[0]}.{uuid.uuid4().hex[:16]}"


def _subject(obj: Object) -> Subject:
    metadata = obj["metadata"]
    return (
        obj["kind"],
        metadata.get("namespace", ""),
        metadata["name"],
        metadata.get("uid", ""),
    )


def reference(obj: Object) -> dict[str, Any]:
    """ObjectReference of an object."""
    metadata = obj["metadata"]
    found = {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "namespace": metadata.get("namespace"),
        "name": metadata["name"],
        "uid": metadata.get("uid"),
        "resourceVersion": metadata.get("resourceVersion"),
    }
    return {name: value for name, value in found.items() if value}


def cut(text: str, limit: int) -> str:
    """`text` in at most `limit` bytes of UTF-8, never within a character."""
    data = text.encode()
    if len(data) <= limit:
        return text
    return data[: limit - 3].decode("utf-8", "ignore") + "..."
