"""A synchronised cache with handlers: reflector -> store -> handlers, for one resource.

Handlers see every difference exactly once, in order: also those that happened while the watch was
down, deletions included, because a new full state is compared with the old one. Left out is only
what `own` has written. A handler, index or transform that raises is reported and does not disturb
the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeVar

from .api import Api
from .hooks import InformerHooks
from .reflector import Reflector
from .resource import Key, Object, Resource, key_of, version_of
from .statelog import StateLog
from .store import IndexFn, Store

log = logging.getLogger(__name__)

EventType = Literal["add", "update", "delete"]
Handler = Callable[[EventType, Object | None, Object | None], None]
Change = tuple[EventType, Object | None, Object | None]
Transform = Callable[[Object], Object]
R = TypeVar("R")

YIELD_EVERY = 200
"""Objects handled in one go while a full state is taken in; about 10 ms."""


def drop_managed_fields(obj: Object) -> Object:
    """The default transform: managedFields are a third of an object and no one reads them."""
    obj["metadata"].pop("managedFields", None)
    return obj


class Informer:
    """Cache of one resource, optionally of one namespace or label selector.

    `transform` shapes objects before they are cached (keep only what is read) and may change its
    argument; key and resourceVersion must stay. `indexes` are functions from an object to the
    values it is found by. `optional` kinds may be missing on the server: they count as empty, and
    are asked for again each minute, or, with `installed`, as soon as that returns.
    """

    def __init__(
        self,
        api: Api,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        transform: Transform | None = None,
        indexes: Mapping[str, IndexFn] | None = None,
        optional: bool = False,
        installed: Callable[[], Awaitable[object]] | None = None,
        hooks: InformerHooks | None = None,
    ) -> None:
        self.resource = resource
        self.store = Store({n: self._isolate(f, "index", list) for n, f in (indexes or {}).items()})
        self.replaying = False
        """True while handlers get objects of a full state and not changes as they happen."""
        self._states = StateLog(log)
        self._handlers: list[Handler] = []
        # Of objects that are being written: what the watch tells meanwhile.
        self._held: dict[Key, list[Change]] = {}
        # Versions that were written and that the watch has yet to tell of.
        self._awaited: dict[Key, str] = {}
        self._synced = asyncio.Event()
        self._reflector = Reflector(
            api,
            resource,
            self,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            optional=optional,
            installed=installed,
            transform=self._shaped(transform or drop_managed_fields),
            hooks=hooks,
        )

    @property
    def synced(self) -> bool:
        """Whether the full state was taken in once; it stays true during outages."""
        return self._synced.is_set()

    @property
    def served(self) -> bool:
        """False while the server does not know an optional kind."""
        return self._reflector.served

    async def wait_synced(self) -> None:
        """Return once the cache is complete."""
        await self._synced.wait()

    def add_handler(self, handler: Handler) -> None:
        """Call `handler(event, old, new)` for each difference; present objects come as adds."""
        self._handlers.append(handler)
        for obj in self.store.list():
            self._call(handler, "add", None, obj)

    async def run(self) -> None:
        """Keep the cache up to date until cancelled."""
        await self._reflector.run()

    async def own(self, key: Key, write: Awaitable[Object]) -> Object:
        """The answer to a write of an object; handlers are not told of the change that it makes.

        Who writes knows it already, and the whole of a pass would find that out. The watch is
        mostly faster than the answer: what it tells of the object until then is held back.
        """
        if key in self._held:
            return await write
        held: list[Change] = []
        self._held[key] = held
        made: Object = {}
        try:
            made = await write
        finally:
            del self._held[key]
            self._release(key, held, version_of(made))
        return made

    def _release(self, key: Key, held: list[Change], version: str) -> None:
        others = [each for each in held if each[2] is None or version_of(each[2]) != version]
        shown = self.store.get(*key)
        if len(others) == len(held) and (shown is None or version_of(shown) != version):
            self._awaited[key] = version
        for each in others:
            self._tell(*each)

    # -- the sink of the reflector ----------------------------------------------------------

    async def replace(self, items: list[Object]) -> None:
        """Take in a full state: handlers get the differences, deletions first."""
        present = {key_of(obj) for obj in items}
        with _Replaying(self):
            for key in self.store.keys():  # noqa: SIM118 - a copy
                if key not in present:
                    self._removed(self.store.remove(key))
        for start in range(0, len(items), YIELD_EVERY):
            with _Replaying(self):
                for obj in items[start : start + YIELD_EVERY]:
                    self.upsert(obj)
            await asyncio.sleep(0)
        self._synced.set()

    def upsert(self, obj: Object) -> None:
        """Add or change; the same resourceVersion again is no event."""
        old = self.store.put(obj)
        if old is None:
            self._dispatch("add", None, obj)
        elif version_of(old) != version_of(obj):
            self._dispatch("update", old, obj)

    def discard(self, obj: Object) -> None:
        """Remove; handlers get the last state the server sent."""
        if self.store.remove(key_of(obj)) is not None:
            self._removed(obj)

    def _removed(self, old: Object | None) -> None:
        if old is not None:
            self._dispatch("delete", old, None)

    def _dispatch(self, event: EventType, old: Object | None, new: Object | None) -> None:
        key = key_of(new or old or {})
        awaited = self._awaited.pop(key, "")
        if key in self._held:
            self._held[key].append((event, old, new))
        elif new is None or not awaited or version_of(new) != awaited:
            self._tell(event, old, new)

    def _tell(self, event: EventType, old: Object | None, new: Object | None) -> None:
        for handler in self._handlers:
            self._call(handler, event, old, new)

    def _call(
        self, handler: Handler, event: EventType, old: Object | None, new: Object | None
    ) -> None:
        try:
            handler(event, old, new)
        except Exception as error:
            self._states.failed(
                ("handler", handler), f"handler of {self.resource}", error, trace=True
            )

    def _shaped(self, transform: Transform) -> Transform:
        def shape(obj: Object) -> Object:
            try:
                return transform(obj)
            except Exception as error:
                self._states.failed("transform", f"transform of {self.resource}", error, trace=True)
                return obj

        return shape

    def _isolate(self, fn: Callable[[Object], Any], what: str, default: Callable[[], R]) -> Any:
        def call(obj: Object) -> Any:
            try:
                return [*fn(obj)]
            except Exception as error:
                self._states.failed((what, fn), f"{what} of {self.resource}", error, trace=True)
                return default()

        return call


class _Replaying:
    def __init__(self, informer: Informer) -> None:
        self._informer = informer

    def __enter__(self) -> None:
        self._informer.replaying = True

    def __exit__(self, *_: object) -> None:
        self._informer.replaying = False
