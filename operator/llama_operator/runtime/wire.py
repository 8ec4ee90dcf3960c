"""One HTTP/1.1 connection to the API server, for requests with short answers.

A write through the session of the official package takes three times the CPU of one sent from
here, and writes are most of what an operator does. So this is as little as a request needs: a
head, a body, and the parser of Node.js (llhttp, by httptools). Framing is that of RFC 9112: an
answer is bounded by its headers, or by the end of the connection where they do not say.
"""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import httptools

KEPT_SECONDS = 15.0
"""How long an idle connection is used again; servers and balancers close theirs after a minute."""

_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
_BOUNDS = (b"content-length", b"transfer-encoding")
FINAL, REFUSED = 200, 400
"""Statuses below the first announce another answer, those from the second on say no."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of an answer that comes in pieces, in seconds: to its headers, between two pieces, in all."""

    headers: float
    idle: float
    total: float


@dataclass(slots=True)
class Answer:
    """What a server said; names of headers in small letters."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        """The body."""
        return b"".join(self.parts)

    def header(self, name: bytes) -> str:
        """The first value under this name, empty where there is none."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")


def keep_alive(sock: Any) -> None:
    """Have a socket find out within a minute that its peer is gone."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Connection(asyncio.Protocol):
    """One request at a time; whoever does not wait for its answer ends the connection."""

    def __init__(self) -> None:
        self._used = time.monotonic()
        self._transport: Any = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._parser: Any = None
        self._answer = Answer()

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on it."""
        idle = self._transport is not None and self._waiting is None
        return idle and time.monotonic() - self._used < KEPT_SECONDS

    async def exchange(self, head: bytes, body: bytes, end: float) -> Answer:
        """Send a request and wait for the whole answer.

        Raises OSError where none comes: TimeoutError at `end`, in seconds of the loop's clock.
        """
        if self._transport is None:
            raise ConnectionResetError("the server closed the connection")
        self._begin()
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        # In one piece: what is encrypted by itself is sent by itself.
        self._transport.write(head + body)
        timer = loop.call_at(end, self._fail, TimeoutError())
        try:
            return await self._waiting
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close at once: what may still come belongs to nobody."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def _begin(self) -> None:
        self._answer = Answer()
        self._parser = httptools.HttpResponseParser(self)

    # -- called by the loop -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected, and encrypted where that was asked for."""
        self._transport = transport
        keep_alive(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        """Parse on; nobody may say anything that was not asked for."""
        if self._waiting is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"the answer is not HTTP: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        """The end, which is that of the answer as well where no header says so."""
        self._transport = None
        if self._waiting is None:
            return
        if error is None and self._unbounded():
            self._end()
        else:
            self._fail(error or ConnectionResetError("the server closed the connection"))

    # -- called by the parser -----------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the answer."""
        self._answer.headers.append((name.lower(), value))

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._answer.parts.append(data)

    def on_message_complete(self) -> None:
        """The answer is whole, unless it only announces another one."""
        if self._parser.get_status_code() < FINAL:
            self._begin()
        else:
            self._end()

    # -- the end of an answer -----------------------------------------------------------------

    def _unbounded(self) -> bool:
        headers = self._answer.headers
        return bool(headers) and not any(name in _BOUNDS for name, _ in headers)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, None
        self._used = time.monotonic()
        self._answer.status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            self.close()
        if waiting is not None and not waiting.done():
            waiting.set_result(self._answer)

    def _fail(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, None
        self.close()
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
