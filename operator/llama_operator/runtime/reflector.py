"""Keep a local copy of one kind by list and watch, through everything a network can do.

The state machine of client-go's reflector (tools/cache/reflector.go): get the full state, watch
from its resourceVersion, resume where the watch ended, and get the full state again only when
the server says that the version is gone. Shaped by clients that looped without a pause on 410,
on torn lines and on watches that end at once; that hung for ever on half-open connections; and
that took the resourceVersion of an initial event for a point to resume from, losing the rest.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol

from .api import Api, ObjectList
from .clock import Timer
from .errors import ApiError, BadRequest, Gone, Invalid, NotFound, ServerError, TransportError
from .hooks import NO_HOOKS, InformerHooks
from .ratelimit import Backoff
from .resource import Key, Object, Resource, key_of, version_of
from .statelog import StateLog
from .stream import SilenceError

log = logging.getLogger(__name__)

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
MIN_WATCH_SECONDS = 300
INITIAL_SILENCE = 30.0
SHORT_WATCH = 1.0
HEALTHY_SECONDS = 5.0
ABSENT_RETRY = 60.0


class Sink(Protocol):
    """Where the state goes."""

    async def replace(self, items: list[Object]) -> None:
        """This is the full state now."""

    def upsert(self, obj: Object) -> None:
        """This object was added or changed."""

    def discard(self, obj: Object) -> None:
        """This object is gone; `obj` is its last state."""


class VeryShortWatchError(TransportError):
    """A watch ended at once without an event, which a busy loop would repeat for ever."""


class Reflector:
    """Runs list and watch for one resource into a sink until cancelled.

    With `optional`, a kind that the server does not know counts as an empty list and is asked for
    again each minute; with `installed`, as soon as that returns, and not before.
    """

    def __init__(
        self,
        api: Api,
        resource: Resource,
        sink: Sink,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        optional: bool = False,
        installed: Callable[[], Awaitable[object]] | None = None,
        transform: Callable[[Object], Object] = lambda obj: obj,
        hooks: InformerHooks | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.resource = resource
        self._name = str(resource)
        self._api = api
        self._sink = sink
        self._namespace = namespace
        self._selectors: dict[str, Any] = {
            "label_selector": label_selector,
            "field_selector": field_selector,
        }
        self._optional = optional or installed is not None
        self._installed = installed
        self._transform = transform
        self._hooks = hooks or NO_HOOKS
        self._backoff = backoff or Backoff()
        self._clock = api.clock
        self._states = StateLog(log)
        self._use_watch_list = True
        self._version = ""
        self.served = True

    async def run(self) -> None:
        """Never returns; failures are logged once, counted and waited out."""
        while True:
            try:
                await self._step()
            except Gone as error:
                self._version = ""
                await self._pause(error)
            except (ApiError, TransportError) as error:
                await self._failed(error)
            except Exception as error:
                # One malformed object must not end the watch of all others.
                self._version = ""
                await self._pause(error)

    async def _step(self) -> None:
        if not self._version:
            self._version = await self._full_state()
            self.served = True
        await self._watch()

    async def _failed(self, error: ApiError | TransportError) -> None:
        if isinstance(error, NotFound) and self._optional:
            await self._absent()
            return
        if _version_too_large(error):
            self._version = ""
        await self._pause(error)

    async def _absent(self) -> None:
        self.served = False
        self._version = ""
        await self._sink.replace([])
        if self._installed is None:
            await self._clock.sleep(ABSENT_RETRY)
            return
        await self._installed()
        # A definition is there a moment before what it defines is served.
        await self._clock.sleep(self._backoff.next())

    async def _pause(self, error: Exception) -> None:
        expected = isinstance(error, ApiError | TransportError)
        reason = error.reason if isinstance(error, ApiError) else type(error).__name__
        self._hooks.failed(self._name, reason)
        what = f"watch of {self.resource} failed, will retry"
        self._states.failed("", what, error, trace=not expected)
        pause = self._backoff.next()
        if isinstance(error, ApiError) and error.retry_after:
            pause = max(pause, error.retry_after)
        await self._api.breaker.pause(pause)

    def _healthy(self) -> None:
        self._backoff.reset()
        self._states.recovered("", "watch of %s works again", self.resource)

    # -- the full state ---------------------------------------------------------------------

    async def _full_state(self) -> str:
        """Hand the full state to the sink and return its resourceVersion."""
        items = await self._watch_list() if self._use_watch_list else None
        if items is None:
            items = await self._list()
        await self._sink.replace(items)
        self._hooks.listed(self._name, len(items))
        return items.resource_version

    async def _list(self) -> ObjectList:
        found = await self._api.list(self.resource, self._namespace, **self._selectors)
        for position, obj in enumerate(found):
            found[position] = self._transform(obj)
        return found

    async def _watch_list(self) -> ObjectList | None:
        """The full state as a stream, a third of the cost of a list; None where it fails.

        Servers before 1.27 ignore the wish and never send the final bookmark; servers that know
        it but have it switched off answer 422.
        """
        events = self._open(initial_events=True, idle_seconds=INITIAL_SILENCE)
        try:
            return await self._collect(events)
        except (Invalid, BadRequest) as error:
            log.info("%s: no streaming lists on this server: %s", self.resource, error.message)
            self._use_watch_list = False
        except (ServerError, SilenceError) as error:
            log.info("%s: streaming list failed, using pages: %s", self.resource, error)
        finally:
            await events.aclose()
        return None

    async def _collect(self, events: AsyncGenerator[Object, None]) -> ObjectList | None:
        """Events up to the end bookmark; no version before that is one to resume from."""
        found: dict[Key, Object] = {}
        async for event in events:
            obj = event["object"]
            if event["type"] == "BOOKMARK":
                return _complete(found, obj)
            key = key_of(obj)
            found.pop(key, None)
            if event["type"] != "DELETED":
                found[key] = self._transform(obj)
        return None

    # -- changes ----------------------------------------------------------------------------

    async def _watch(self) -> None:
        started = self._clock.monotonic()
        timers: list[Timer] = []

        def opened() -> None:
            timers.append(self._clock.call_later(HEALTHY_SECONDS, self._healthy))

        events = self._open(resource_version=self._version, opened=opened)
        count = 0
        try:
            async for event in events:
                self._deliver(event)
                count += 1
                self._healthy()
        finally:
            for timer in timers:
                timer.cancel()
            await events.aclose()
        lasted = self._clock.monotonic() - started
        if lasted < SHORT_WATCH:
            raise VeryShortWatchError(
                f"ended after less than {SHORT_WATCH:.0f} s with {count} events"
            )
        self._healthy()

    def _deliver(self, event: Object) -> None:
        kind, obj = event["type"], event["object"]
        self._hooks.event(self._name, kind)
        version = version_of(obj)
        if kind == "BOOKMARK":
            _refuse_time_travel(self._version, version)
        elif kind in {"ADDED", "MODIFIED"}:
            self._sink.upsert(self._transform(obj))
        elif kind == "DELETED":
            self._sink.discard(self._transform(obj))
        else:
            raise TransportError(f"unknown event type {kind!r}")
        self._version = version

    def _open(self, **options: Any) -> AsyncGenerator[Object, None]:
        # A random length keeps the watches of many clients from being reopened in step.
        seconds = int(MIN_WATCH_SECONDS * (1.0 + random.random()))  # noqa: S311
        return self._api.watch(
            self.resource,
            self._namespace,
            timeout_seconds=seconds,
            **self._selectors,
            **options,
        )


def _complete(found: dict[Key, Object], bookmark: Object) -> ObjectList | None:
    annotations = bookmark["metadata"].get("annotations") or {}
    if annotations.get(INITIAL_EVENTS_END) != "true":
        return None
    result = ObjectList(found.values())
    result.resource_version = version_of(bookmark)
    return result


def _refuse_time_travel(current: str, version: str) -> None:
    """A bookmark older than what was seen means that the store behind was restored."""
    if current.isdigit() and version.isdigit() and int(version) < int(current):
        raise Gone(410, "Expired", f"resourceVersion went back from {current} to {version}")


def _version_too_large(error: Exception) -> bool:
    """The server has not seen our version: it lags, or its store was restored."""
    if not isinstance(error, ServerError):
        return False
    causes = [cause.get("reason") for cause in error.causes]
    return "ResourceVersionTooLarge" in causes or "Too large resource" in error.message
