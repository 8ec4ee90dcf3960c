"""Takes requests, lets them wait while there is no server, and hands each to a server once.

A request that was handed over is never sent again: a model that was asked twice has answered twice.
Only a connection that could not be made is tried again, since nothing has reached anybody then.
Streams are passed on as they come. A client that goes frees its place, and its server, at once.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from llama_operator.activator import errors
from llama_operator.activator.keys import Keys
from llama_operator.activator.meters import Meters
from llama_operator.activator.room import FullError, Place, Room
from llama_operator.activator.servers import Servers

log = logging.getLogger(__name__)

# Of one connection, not of the message (RFC 9110); the length is that of what is really sent.
_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te"),
        *("trailer", "transfer-encoding", "upgrade", "expect"),
    }
)
# Nothing has reached anybody.
_UNSENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
# Probes of the endpoint: it takes requests, so it is well; and they are no reason for a start.
_PROBES = ("/health", "/ping")
_OURS = "/v1/"
CONNECT_SECONDS = 5.0
AGAIN_SECONDS = 0.2
# By then the endpoint of a server that does not answer has gone.
TRIES = 25


@dataclass(frozen=True)
class Limits:
    """How long a request waits, and how large it may be meanwhile."""

    hold_seconds: float
    body_bytes: int


class TooLargeError(Exception):
    """The body is larger than one that may wait."""


class Proxy:
    """Handles every request of the endpoint's port."""

    def __init__(
        self, servers: Servers, room: Room, keys: Keys, limits: Limits, meters: Meters
    ) -> None:
        self._servers, self._room, self._keys = servers, room, keys
        self._limits, self._meters = limits, meters
        self._session: aiohttp.ClientSession | None = None
        # Set while somebody waits for a server.
        self.wanted = asyncio.Event()
        self.ending = asyncio.Event()

    async def open(self) -> None:
        """Make what requests are sent with."""
        # A connection that is used again may have been closed by the server meanwhile; then nobody
        # knows whether the request has arrived.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, trust_env=False
        )

    @property
    def _sending(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("open() comes first")
        return self._session

    async def close(self) -> None:
        """Close what `open` has made."""
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return self._ours("refused", 501, "WebSockets are not passed on")
        try:
            return await self._answer(request)
        except asyncio.CancelledError:
            self._meters.requests.labels("left").inc()
            raise

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        for _ in range(TRIES):
            address = self._servers.pick()
            if address is None:
                return self._refusal(request) or await self._hold(request)
            body = request.content if request.can_read_body else None
            try:
                return await self._through(request, address, body)
            except _UNSENT:
                await asyncio.sleep(AGAIN_SECONDS)
        return self._ours("broken", 502, "no connection to a server could be made")

    # -- while there is no server ---------------------------------------------------------------

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.path in _PROBES:
            return web.Response()
        if not request.path.startswith(_OURS):
            return self._ours("refused", 404, f"{request.path}: only /v1/ starts a server")
        if not self._keys.admit(request.headers.get("Authorization", "")):
            return self._ours("unauthorized", 401, errors.UNAUTHORIZED)
        return None

    async def _hold(self, request: web.Request) -> web.StreamResponse:
        try:
            with self._room.place() as place:
                return await self._wait(request, place)
        except FullError:
            text = f"{self._room.held} requests wait already, with {self._room.bytes} bytes"
            return self._ours("full", 503, text, retry=True)
        except TooLargeError:
            text = f"at most {self._limits.body_bytes} bytes may wait for a server"
            return self._ours("refused", 413, text)
        except TimeoutError:
            text = "no server was ready in time; llamactl status tells why"
            return self._ours("timeout", 503, text, retry=True)

    async def _wait(self, request: web.Request, place: Place) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.timeout(self._limits.hold_seconds):
            body = await self._read(request, place)
        while True:
            self.wanted.set()
            left = started + self._limits.hold_seconds - loop.time()
            address = await self._first_server(left)
            self._meters.waited.observe(loop.time() - started)
            try:
                return await self._through(request, address, body)
            except _UNSENT:
                await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self, request: web.Request, place: Place) -> bytes:
        parts = []
        async for part in request.content.iter_any():
            place.grow(len(part))
            if place.bytes > self._limits.body_bytes:
                raise TooLargeError
            parts.append(part)
        return b"".join(parts)

    async def _first_server(self, seconds: float) -> str:
        """Raises TimeoutError, also when this process is about to end."""
        waits = [asyncio.ensure_future(each) for each in (self._servers.wait(), self.ending.wait())]
        try:
            await asyncio.wait(
                waits, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED
            )
            if not waits[0].done():
                raise TimeoutError
            return str(waits[0].result())
        finally:
            for each in waits:
                each.cancel()

    # -- with a server --------------------------------------------------------------------------

    async def _through(self, request: web.Request, address: str, body: Any) -> web.StreamResponse:
        """Raises what is in _UNSENT."""
        call = self._sending.request(
            request.method,
            f"http://{address}{request.raw_path}",
            headers=_passed_on(request.headers, keep_length=not isinstance(body, bytes)),
            data=body,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        with self._servers.using(address):
            try:
                async with call as upstream:
                    self._meters.requests.labels("forwarded").inc()
                    return await _relay(request, upstream)
            except _UNSENT:
                raise
            except aiohttp.ClientError as error:
                log.info("a server broke off before it answered: %s", type(error).__name__)
                return self._ours("broken", 502, "the server broke off before it answered")

    def _ours(
        self, outcome: str, status: int, message: str, *, retry: bool = False
    ) -> web.Response:
        self._meters.requests.labels(outcome).inc()
        return errors.answer(status, message, retry=retry)


async def _relay(request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    answer = web.StreamResponse(
        status=upstream.status, reason=upstream.reason, headers=_passed_on(upstream.headers)
    )
    await answer.prepare(request)
    try:
        async for part in upstream.content.iter_any():
            await answer.write(part)
    except aiohttp.ClientError:
        # Ended in order, a torn answer would look whole.
        if request.transport is not None:
            request.transport.abort()
        return answer
    except ConnectionResetError:
        return answer  # the client has gone
    await answer.write_eof()
    return answer


def _passed_on(headers: Any, *, keep_length: bool = True) -> CIMultiDict[str]:
    named = {each.strip().lower() for each in headers.get("Connection", "").split(",")}
    left_out = _HOP | named | (frozenset() if keep_length else {"content-length"})
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in left_out
    )
