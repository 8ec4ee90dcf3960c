"""Wakes the deployment for those who wait, and lets it sleep when nobody has come for a while."""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from llama_operator.activator.idle import Idle, Sample, read
from llama_operator.activator.meters import Meters
from llama_operator.activator.proxy import Proxy
from llama_operator.activator.room import Room
from llama_operator.activator.servers import Servers
from llama_operator.activator.target import Target
from llama_operator.runtime.errors import ClusterError

log = logging.getLogger(__name__)

WAKE_AGAIN_SECONDS = 5.0
METRICS_SECONDS = 5.0


class Rest:
    """The two loops of an activator, and what they know."""

    def __init__(
        self, target: Target, servers: Servers, room: Room, proxy: Proxy, meters: Meters
    ) -> None:
        self._target, self._servers, self._room = target, servers, room
        self._proxy, self._meters = proxy, meters
        self._idle = Idle()
        self.idle_seconds = 0.0
        self.idle_after = 0.0

    @property
    def active(self) -> bool:
        """Whether somebody wants servers; what KEDA is told."""
        wanted = self._room.held > 0 or self._servers.forwarding > 0
        served = bool(self._servers.ready) and self.idle_seconds < self.idle_after
        return wanted or served

    async def wake(self) -> None:
        """For ever: while somebody waits and no server answers, there is to be one."""
        while True:
            await self._proxy.wanted.wait()
            self._proxy.wanted.clear()
            while self._room.held and not self._servers.ready:
                await self._try("up")
                await asyncio.sleep(WAKE_AGAIN_SECONDS)

    async def sleep(self, idle_after: float) -> None:
        """For ever: after so many seconds without work there is to be no server."""
        self.idle_after = idle_after
        pause = min(15.0, max(0.05, idle_after / 10))
        timeout = aiohttp.ClientTimeout(total=METRICS_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            while True:
                await asyncio.sleep(pause)
                await self.look(session)

    async def look(self, session: aiohttp.ClientSession) -> None:
        """One look at every server."""
        ready = self._servers.ready
        found = await asyncio.gather(*(_sample(session, each) for each in ready.values()))
        busy = self._room.held > 0 or self._servers.forwarding > 0
        samples = dict(zip(ready, found, strict=True))
        now = asyncio.get_running_loop().time()
        self.idle_seconds = self._idle.look(samples, busy, now)
        if ready and self.idle_seconds >= self.idle_after:
            await self._try("down")

    async def _try(self, direction: str) -> None:
        act = self._target.wake if direction == "up" else self._target.sleep
        try:
            done = await act()
        except ClusterError as error:
            log.warning("the deployment could not be scaled %s, will retry: %s", direction, error)
            return
        if done:
            self._meters.scaled.labels(direction).inc()
            log.info("the deployment is scaled %s", direction)


async def _sample(session: aiohttp.ClientSession, address: str) -> Sample | None:
    try:
        async with session.get(f"http://{address}/metrics") as answer:
            return read(await answer.text()) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError):
        return None
