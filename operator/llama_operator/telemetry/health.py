"""Probes and metrics over HTTP or HTTPS, on the loop of the operator itself.

/healthz says that the loop turns, and depends on nothing else: a liveness probe that asked the
API server would restart every operator of a cluster whenever that server has a bad minute.
/readyz names each check that fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from llama_operator.telemetry.certificates import Certificates

log = logging.getLogger(__name__)

Check = Callable[[], bool]
Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HealthServer:
    """Serves /healthz, /readyz and /metrics; port 0 takes a free one (`port` after `start`).

    `more` are pages of a program's own, by path. With `certificates` all of them come over TLS.
    """

    def __init__(
        self,
        ready: Mapping[str, Check],
        metrics: Callable[[], bytes],
        *,
        host: str | None = None,
        port: int = 8080,
        content_type: str = "text/plain; version=0.0.4; charset=utf-8",
        more: Mapping[str, Page] | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self._ready = dict(ready)
        self._metrics = metrics
        self._content_type = content_type
        self._host = host
        self._certificates = certificates
        self._watch: asyncio.Task[None] | None = None
        self.port = port
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._exposition)
        for path, page in (more or {}).items():
            app.router.add_get(path, page)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        await self._runner.setup()
        secured = self._certificates
        context = secured.context if secured else None
        await web.TCPSite(self._runner, self._host, self.port, ssl_context=context).start()
        self.port = self._runner.addresses[0][1]
        if secured:
            self._watch = asyncio.create_task(secured.watch())
        log.info("health and metrics on port %d%s", self.port, " over TLS" if secured else "")

    async def stop(self) -> None:
        """Close the port and what is open on it."""
        if self._watch:
            self._watch.cancel()
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        failed = [name for name, check in self._ready.items() if not _passes(name, check)]
        if failed:
            return web.Response(status=503, text=f"not ready: {', '.join(failed)}\n")
        return web.Response(text="ok\n")

    async def _exposition(self, request: web.Request) -> web.Response:
        if self._certificates and self._certificates.asks_clients and not _shown(request):
            text = "metrics are for clients with a certificate of the authority that was named\n"
            return web.Response(status=403, text=text)
        # A fleet of ten thousand takes a second to write down; a lease cannot wait for that.
        body = await asyncio.to_thread(self._metrics)
        return web.Response(body=body, headers={"Content-Type": self._content_type})


def _passes(name: str, check: Check) -> bool:
    try:
        return check()
    except Exception:
        log.exception("readiness check %s", name)
        return False


def _shown(request: web.Request) -> bool:
    """Whether the client has shown a certificate; one that is not trusted never comes so far."""
    return bool(request.transport and request.transport.get_extra_info("peercert"))
