"""Start and stop the parts of an operator in the order that keeps them honest.

Start: informers -> caches complete -> lease won -> workers, so that no one decides on half a
cache and caches stay warm in a standby. Stop: not ready -> intake shut -> workers drained, for a
bounded time -> lease released -> watches closed -> session closed, so that the successor starts
while nothing here can still write. A lost lease is no orderly stop: workers are cancelled at once
and the process is expected to exit, because anything it still did would be done by two.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .api import Api
from .controller import Controller
from .informer import EventType, Informer
from .leader import LeaderElector
from .mapping import MapFn, to_self
from .resource import Key, Object
from .workqueue import LOW

log = logging.getLogger(__name__)

Predicate = Callable[[EventType, Object | None, Object | None], bool]
Runnable = Callable[[], Awaitable[Any]]
DRAIN_SECONDS = 20.0
LOST = "the lease could not be renewed in time, or someone else took it"


class LeadershipLost(RuntimeError):  # noqa: N818 - names the state, as in leader election everywhere
    """The lease went to someone else or could not be renewed; the process must exit."""


class Manager:
    """Owns informers, controllers, helpers and the session of one operator process."""

    def __init__(
        self,
        api: Api,
        informers: Sequence[Informer],
        controllers: Sequence[Controller],
        leader: LeaderElector | None = None,
        *,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        self.api = api
        self.informers = list(informers)
        self.controllers = list(controllers)
        self.leader = leader
        self._drain_seconds = drain_seconds
        self._always: list[Runnable] = []
        self._replays: list[Runnable] = []
        self._stopping = False
        for controller in self.controllers:
            controller.breaker = controller.breaker or api.breaker
        if leader:
            api.fence = leader.check

    def add(self, runnable: Runnable) -> None:
        """Run a coroutine function beside the informers, leader or not, until shutdown."""
        self._always.append(runnable)

    def watch(
        self,
        informer: Informer,
        controller: Controller,
        map: MapFn = to_self,
        *,
        predicate: Predicate | None = None,
        resync: float | None = None,
        after: float | Callable[[Key], float] = 0.0,
    ) -> None:
        """Queue the keys that `map` yields for an object whenever it changes.

        Both the old and the new object are mapped, so that a change of owner reaches both. Changes
        within `after` seconds of the first count as one: for a key that many objects map to, and
        which may be given longer as they become more. With `resync`, all objects of the cache are
        queued again about every so many seconds, behind real changes and without a request to the
        server.
        """

        def handle(event: EventType, old: Object | None, new: Object | None) -> None:
            if predicate is None or predicate(event, old, new):
                priority = LOW if informer.replaying else None
                for key in _keys(map, old, new):
                    pause = after(key) if callable(after) else after
                    controller.queue.add_after(key, pause, priority)

        informer.add_handler(handle)
        if resync:
            self._replays.append(lambda: self._replay(informer, controller, map, resync))

    async def _replay(
        self, informer: Informer, controller: Controller, map_fn: MapFn, seconds: float
    ) -> None:
        while True:
            await self.api.clock.sleep(seconds * (0.9 + 0.2 * random.random()))  # noqa: S311
            for obj in informer.store.list():
                for key in map_fn(obj):
                    controller.queue.add(key, LOW)

    # -- state ------------------------------------------------------------------------------

    @property
    def synced(self) -> bool:
        """Whether all caches are complete."""
        return all(informer.synced for informer in self.informers)

    @property
    def ready(self) -> bool:
        """For /readyz: caches complete and not shutting down; standbys are ready too."""
        return self.synced and not self._stopping

    # -- life -------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then shut down in order and close the session.

        Raises LeadershipLost, or what a part raised that must not end.
        """
        background = [
            *(_task(informer.run, str(informer.resource)) for informer in self.informers),
            *(_task(_kept(runnable), "runnable") for runnable in self._always),
        ]
        main = asyncio.ensure_future(self._main(stop))
        try:
            await _first([main, *background])
        finally:
            self._stopping = True
            await _cancel([main, *background])
            await self.api.close()

    async def _main(self, stop: asyncio.Event) -> None:
        stopped = asyncio.ensure_future(stop.wait())
        try:
            if await _before(stopped, self._wait_synced()):
                await self._lead(stopped)
        finally:
            stopped.cancel()

    async def _wait_synced(self) -> None:
        for informer in self.informers:
            await informer.wait_synced()
            log.info("cache of %s: %d objects", informer.resource, len(informer.store))
        # Caches live as long as the process: keep the collector from walking them.
        gc.collect()
        gc.freeze()

    async def _lead(self, stopped: asyncio.Future[Any]) -> None:
        if self.leader is None:
            await self._work(stopped, None)
            return
        lost = asyncio.ensure_future(self.leader.run())
        try:
            if await _before(stopped, self.leader.wait_leading(), lost):
                await self._work(stopped, lost)
            elif not stopped.done():
                raise LeadershipLost(LOST)
        finally:
            await _cancel([lost])
            await self.leader.release()

    async def _work(self, stopped: asyncio.Future[Any], lost: asyncio.Future[Any] | None) -> None:
        workers = [_task(controller.run, controller.name) for controller in self.controllers]
        helpers = [_task(replay, "resync") for replay in self._replays]
        watched = [stopped, *workers, *helpers, *([lost] if lost else [])]
        log.info("workers started: %s", ", ".join(c.name for c in self.controllers))
        try:
            ended = await _first(watched)
            if ended is lost:
                raise LeadershipLost(LOST)
            await _cancel(helpers)
            await self._drain(workers)
        finally:
            await _cancel([*helpers, *workers])

    async def _drain(self, workers: list[asyncio.Future[Any]]) -> None:
        self._stopping = True
        for controller in self.controllers:
            controller.queue.shut_down(drop=True)
        if workers:
            _, late = await asyncio.wait(workers, timeout=self._drain_seconds)
            if late:
                log.warning("%d controllers did not finish in time, cancelled", len(late))


def _keys(map_fn: MapFn, old: Object | None, new: Object | None) -> set[Key]:
    return {key for obj in (old, new) if obj is not None for key in map_fn(obj)}


def _task(runnable: Runnable, name: str) -> asyncio.Future[Any]:
    async def run() -> None:
        await runnable()

    return asyncio.create_task(run(), name=name)


def _kept(runnable: Runnable) -> Runnable:
    """A helper that has finished its work is no reason to stop."""

    async def run() -> None:
        await runnable()
        await asyncio.Event().wait()

    return run


async def _first(tasks: Sequence[asyncio.Future[Any]]) -> asyncio.Future[Any]:
    """The first task that ended; raises what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    return next(iter(done))


async def _before(stopped: asyncio.Future[Any], work: Any, *others: asyncio.Future[Any]) -> bool:
    """Whether `work` ended before `stopped`; raises what it, or one of `others`, raised."""
    task = asyncio.ensure_future(work)
    try:
        await _first([stopped, task, *others])
        return task.done() and not stopped.done()
    finally:
        task.cancel()


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; a second signal ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def handle(number: signal.Signals) -> None:
        if stop.is_set():
            loop.remove_signal_handler(number)
            signal.raise_signal(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, handle, number)
    return stop
