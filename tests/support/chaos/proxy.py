"""A TLS proxy on loopback that does to each request what a plan says.

It stands where a network, a load balancer and an overloaded API server stand. The real API server
behind it commits or does not, whatever the client hears: `drop="after"` is the write whose answer
was lost, `hold` the request that lies in some buffer until much later.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import aiohttp
from aiohttp import web

_TO_SERVER = ("Authorization", "Content-Type", "Accept", "User-Agent")
_TO_CLIENT = ("Content-Type", "Retry-After")
Stream = Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]


@dataclass(frozen=True)
class Call:
    """One request; `number` counts from 1, whatever became of those before."""

    number: int
    method: str
    path: str
    watch: bool = False
    initial: bool = False

    def __str__(self) -> str:
        return f"{self.number} {'WATCH' if self.watch else self.method} {self.path}"

    @property
    def write(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"

    @property
    def lease(self) -> bool:
        """Whether it is about the lease."""
        return "/leases" in self.path


@dataclass(frozen=True)
class Fault:
    """What happens to one request; without anything, nothing.

    `status` is answered without asking the server; `delay` comes before the server is asked;
    `drop` breaks the connection before or after the server has answered; `hold` is waited for
    before the server is asked, also when the client has long gone; `answered` runs between the
    server's answer and the client's; `stream` changes the lines of a watch.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: Literal["", "before", "after"] = ""
    hold: asyncio.Event | None = None
    answered: Callable[[], Coroutine[None, None, None]] | None = None
    stream: Stream | None = None


Plan = Callable[[Call], Fault | None]


def untouched(_: Call) -> Fault | None:
    """The plan of a network that works."""
    return None


class Proxy:
    """Serves on 127.0.0.1:`port` with the cluster's own authority; `plan` may change at any time."""

    def __init__(self, server: str, ca: Path, certificate: Path, key: Path) -> None:
        self.plan: Plan = untouched
        self.calls: list[Call] = []
        # By number: status codes of requests that reached the server, and what was done to others.
        self.answers: dict[int, int] = {}
        self.faults: dict[int, Fault] = {}
        self.open = 0
        self._server = server
        self._trust = ssl.create_default_context(cafile=str(ca))
        self._own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._own.load_cert_chain(certificate, key)
        self._kept: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Proxy:
        connector = aiohttp.TCPConnector(ssl=self._trust, limit=0)
        self._upstream = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        self._runner = web.ServerRunner(
            web.Server(self._handle, handler_cancellation=True), shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._own)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._kept:
            task.cancel()
        await self._upstream.close()
        await self._runner.cleanup()

    async def quiet(self, seconds: float, limit: float = 30.0) -> None:
        """Return when nothing but leases and watches was asked for some seconds, nor is pending."""
        loop = asyncio.get_running_loop()
        end, last, seen = loop.time() + limit, loop.time(), -1
        while loop.time() - last < seconds:
            work = sum(not (call.lease or call.watch) for call in self.calls)
            if work != seen or self.open:
                seen, last = work, loop.time()
            if loop.time() > end:
                raise TimeoutError(f"the operator is not at rest after {limit:g} s")
            await asyncio.sleep(0.05)

    # -- one request --------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        query = request.rel_url.query
        call = Call(
            len(self.calls) + 1,
            request.method,
            request.path,
            watch=query.get("watch") == "true",
            initial="sendInitialEvents" in query,
        )
        self.calls.append(call)
        fault = self.plan(call)
        if fault is not None:
            self.faults[call.number] = fault
        return await self._carried_out(call, fault or Fault(), request)

    def told(self, last: int) -> list[str]:
        """The last calls, and what became of them."""
        return [
            f"{call} -> {self.answers.get(call.number, '')} {self.faults.get(call.number, '')}"
            for call in self.calls[-last:]
            if not call.lease
        ]

    async def _carried_out(
        self, call: Call, fault: Fault, request: web.BaseRequest
    ) -> web.StreamResponse:
        body = await request.read()
        if fault.hold is not None:
            # The client may be gone by then: the request is on its way all the same.
            await self._apart(self._held(fault.hold, call, request, body))
            return _cut(request)
        self.open += not call.watch
        try:
            return await self._answer(fault, call, request, body)
        finally:
            self.open -= not call.watch

    async def _apart(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        await asyncio.shield(task)

    async def _held(
        self, released: asyncio.Event, call: Call, request: web.BaseRequest, body: bytes
    ) -> None:
        await released.wait()
        async with self._ask(request, body) as answer:
            await answer.read()
            self.answers[call.number] = answer.status

    async def _answer(
        self, fault: Fault, call: Call, request: web.BaseRequest, body: bytes
    ) -> web.StreamResponse:
        await asyncio.sleep(fault.delay)
        if fault.drop == "before":
            return _cut(request)
        if fault.status:
            return _refusal(fault)
        try:
            async with self._ask(request, body) as answer:
                if call.watch and answer.status == 200:
                    return await _stream(request, answer, fault.stream)
                data = await answer.read()
        except (aiohttp.ClientError, OSError):
            return _cut(request)
        self.answers[call.number] = answer.status
        if fault.answered is not None:
            # Not ended by the end of the connection, which it may bring about.
            await self._apart(fault.answered())
        if fault.drop == "after":
            return _cut(request)
        return web.Response(status=answer.status, body=data, headers=_kept(answer))

    def _ask(
        self, request: web.BaseRequest, body: bytes
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {name: request.headers[name] for name in _TO_SERVER if name in request.headers}
        headers["Accept-Encoding"] = "identity"
        url = self._server + str(request.rel_url)
        limit = aiohttp.ClientTimeout(total=None, sock_connect=5)
        return self._upstream.request(
            request.method, url, data=body or None, headers=headers, timeout=limit
        )


def _kept(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: answer.headers[name] for name in _TO_CLIENT if name in answer.headers}


async def _stream(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, change: Stream | None
) -> web.StreamResponse:
    response = web.StreamResponse(headers=_kept(answer))
    await response.prepare(request)
    chunks = answer.content.iter_any()
    try:
        async for chunk in change(_lines(chunks)) if change else chunks:
            await response.write(chunk)
    except (aiohttp.ClientError, OSError, BrokenStream):
        return _cut(request)
    return response


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"


class BrokenStream(Exception):  # noqa: N818 - what happens, not what is wrong
    """Raised by a `stream` to break the connection."""


def _cut(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


_REASONS = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}


def status_object(code: int) -> dict[str, object]:
    """The Status of a refusal."""
    reason = _REASONS.get(code, "")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"chaos: {reason}",
        "reason": reason,
        "code": code,
    }


def _refusal(fault: Fault) -> web.Response:
    text = json.dumps(status_object(fault.status))
    return web.Response(
        status=fault.status, text=text, content_type="application/json", headers=fault.headers
    )
