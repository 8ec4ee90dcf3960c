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

    async def active(self) -> bool:
        """What KEDA is told: whether there are to be servers. Raises ClusterError.

        To say so as long as any are asked for leaves it to this process alone when there are to be
        none: KEDA knows of no rollout, and of no server that starts.
        """
        return self._room.held > 0 or await self._target.awake()

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
        pause = min(15.0, max(0.05, idle_after / 10))
        timeout = aiohttp.ClientTimeout(total=METRICS_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            while True:
                await asyncio.sleep(pause)
                if await self._idle_seconds(session) >= idle_after:
                    await self._try("down")

    async def _idle_seconds(self, session: aiohttp.ClientSession) -> float:
        """One look at every server."""
        ready = self._servers.ready
        found = await asyncio.gather(*(_sample(session, each) for each in ready.values()))
        busy = self._room.held > 0 or self._servers.forwarding > 0
        samples = dict(zip(ready, found, strict=True))
        return self._idle.look(samples, busy, asyncio.get_running_loop().time())

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
