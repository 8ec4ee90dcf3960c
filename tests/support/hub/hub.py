"""The two servers of the emulator, in a thread of their own or in the caller's event loop.

The hub answers the API and small files itself and sends LFS files to a second server, as the
real one sends them to its CDN: a client that carries its token over to there is caught by the
recorded requests.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.support.hub.faults import Fault
from tests.support.hub.record import Request
from tests.support.hub.repository import Repository
from tests.support.hub.routes import Routes


class Hub:
    """A hub with repositories, faults and a record of requests.

    `with Hub(repositories) as hub: hub.url` runs it in a thread; `await hub.start()` in the
    running loop. Faults may be added and removed while it runs.
    """

    def __init__(
        self,
        repositories: Iterable[Repository] = (),
        *,
        faults: Iterable[Fault] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        cdn_host: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.repositories = {repository.id: repository for repository in repositories}
        self.faults: list[Fault] = list(faults)
        self.requests: list[Request] = []
        self.host, self.port, self.cdn_port = host, port, 0
        self.cdn_host = cdn_host or host
        self._tls = tls
        self._runners: list[web.AppRunner] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def scheme(self) -> str:
        """http, or https with a certificate."""
        return "https" if self._tls else "http"

    @property
    def url(self) -> str:
        """The endpoint, as HF_ENDPOINT takes it."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def cdn_url(self) -> str:
        """Where LFS files come from."""
        return f"{self.scheme}://{self.cdn_host}:{self.cdn_port}"

    async def start(self) -> None:
        """Listen; a port of 0 is replaced by the one that was given."""
        routes = Routes(self)
        self.port = await self._listen(routes.hub(), self.port)
        self.cdn_port = await self._listen(routes.cdn(), 0)

    async def stop(self) -> None:
        """Close both servers, without waiting for hanging answers."""
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _listen(self, app: web.Application, port: int) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, self.host, port, ssl_context=self._tls)
        await site.start()
        return int(runner.addresses[0][1])

    # -- in a thread ----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.start(), self._loop).result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        assert self._thread is not None
        asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # -- what it saw ----------------------------------------------------------------------------

    def seen(self, place: str = "", name: str = "", method: str = "") -> list[Request]:
        """Requests by place (info, tree, resolve, cdn), file name and method."""
        return [
            request
            for request in list(self.requests)
            if place in ("", request.place)
            and name in ("", request.name)
            and method in ("", request.method)
        ]

    def sent(self, name: str = "") -> int:
        """Body bytes of files that left, over all requests."""
        files = [*self.seen("resolve", name), *self.seen("cdn", name)]
        return sum(request.sent for request in files)

    def listing(self) -> list[dict[str, Any]]:
        """All requests as plain dicts."""
        return [request.as_dict() for request in self.requests]
