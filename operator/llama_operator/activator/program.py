"""`llama-operator activator`: puts the parts together. No logic lives here."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from llama_operator.activator.errors import answer
from llama_operator.activator.keys import Keys
from llama_operator.activator.meters import Meters
from llama_operator.activator.proxy import Limits, Proxy
from llama_operator.activator.rest import Rest
from llama_operator.activator.room import Room
from llama_operator.activator.servers import Servers
from llama_operator.activator.target import Target
from llama_operator.runtime.api import Api
from llama_operator.runtime.config import load_configuration
from llama_operator.runtime.errors import ClusterError
from llama_operator.runtime.informer import Informer
from llama_operator.runtime.manager import Manager, stop_on_signals
from llama_operator.runtime.resource import Resource
from llama_operator.telemetry import logs
from llama_operator.telemetry.health import HealthServer

SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
# The last seconds of a drain are for answers that say so.
LAST_SECONDS = 3.0


@dataclass(frozen=True)
class Options:
    """Settings of one activator."""

    namespace: str
    name: str
    host: str = ""
    port: int = 8790
    admin_port: int = 8791
    idle_after: float = 600.0
    hold_timeout: float = 1800.0
    drain_timeout: float = 60.0
    keys: str = ""
    max_held: int = 1000
    max_held_bytes: int = 128 << 20
    max_body_bytes: int = 16 << 20
    kubeconfig: str = ""
    log_format: logs.Format = "json"


async def serve(options: Options) -> None:
    """Run until a signal, then let requests end for at most `drain_timeout` seconds."""
    logs.setup(options.log_format, "info")
    configuration = await load_configuration(options.kubeconfig or None)
    await Activator(options, Api(configuration)).run(stop_on_signals())


class Activator:
    """One activator, wired and not yet running."""

    def __init__(self, options: Options, api: Api) -> None:
        self._options = options
        self.servers = Servers(options.port)
        self.room = Room(options.max_held, options.max_held_bytes)
        meters = Meters(self.room, self.servers)
        limits = Limits(options.hold_timeout, options.max_body_bytes)
        keys = Keys(Path(options.keys) if options.keys else None)
        self._proxy = Proxy(self.servers, self.room, keys, limits, meters)
        target = Target(api, options.namespace, options.name)
        self._rest = Rest(target, self.servers, self.room, self._proxy, meters)
        self._slices = _slices(api, options)
        self._slices.add_handler(lambda *_: self.servers.update(self._slices.store.list()))
        self._manager = Manager(api, [self._slices], [])
        self._manager.add(self._rest.wake)
        self._manager.add(lambda: self._rest.sleep(options.idle_after))
        self._runner = web.AppRunner(
            _everything(self._proxy),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=options.drain_timeout,
        )
        self.admin = HealthServer(
            {"endpoint": lambda: self.listens},
            meters.render,
            host=options.host or None,
            port=options.admin_port,
            more={"/activity": self._activity},
        )

    @property
    def listens(self) -> bool:
        """Whether requests may come."""
        return bool(self._runner.addresses)

    @property
    def port(self) -> int:
        """The port that requests come to."""
        return int(self._runner.addresses[0][1])

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or until a part ends that must not."""
        ended = asyncio.Event()
        await self.admin.start()
        await self._proxy.open()
        parts = asyncio.ensure_future(self._manager.run(ended))
        try:
            # Taken in before the first request, or one would wait beside a server that answers.
            await _either(parts, self._slices.wait_synced())
            await self._listen()
            await _either(parts, stop.wait())
            await self._drain()
        finally:
            ended.set()
            await self._runner.cleanup()
            await asyncio.gather(parts, self._proxy.close(), self.admin.stop())

    async def _listen(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._options.host or None, self._options.port).start()

    async def _drain(self) -> None:
        seconds = max(0.0, self._options.drain_timeout - LAST_SECONDS)
        asyncio.get_running_loop().call_later(seconds, self._proxy.ending.set)
        await self._runner.cleanup()

    async def _activity(self, _: web.Request) -> web.Response:
        try:
            return web.json_response({"active": int(await self._rest.active())})
        except ClusterError as error:
            return answer(503, str(error), retry=True)


def _slices(api: Api, options: Options) -> Informer:
    return Informer(
        api,
        SLICES,
        namespace=options.namespace,
        label_selector=f"kubernetes.io/service-name={options.name}",
    )


def _everything(proxy: Proxy) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    return app


async def _either(parts: asyncio.Future[None], event: Coroutine[Any, Any, Any]) -> None:
    """Return with `event`; raises what a part raised first."""
    other = asyncio.ensure_future(event)
    try:
        await asyncio.wait([parts, other], return_when=asyncio.FIRST_COMPLETED)
        if parts.done():
            parts.result()
            raise RuntimeError("a part of the activator has ended")
    finally:
        other.cancel()
