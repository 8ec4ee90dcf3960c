"""An answer that comes in pieces for minutes, over a connection of its own.

By the session of the official package each event of a watch passes a reader, a timer and a task
that wakes up for every few bytes. Here a piece waits in a list until somebody asks for what came,
and a timer is set only while nothing has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httptools

from .wire import FINAL, REFUSED, Answer, Connection

MAX_WAITING = 1 << 20
"""Bytes that may wait for whoever reads; until then no more are taken from the network."""


class Flow(Connection):
    """One request. An answer that accepts it counts as here with its headers, and flows; a refusal
    is read to its end as any other answer.

    `idle` is how many seconds it may be silent, `end` when it is cut off, on the loop's clock.
    """

    def __init__(self) -> None:
        super().__init__()
        self.idle = self.end = float("inf")
        self._flowing = False
        self._over = False
        self._why: Exception | None = None
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._paused = False
        self._more: asyncio.Future[None] | None = None

    @property
    def answer(self) -> Answer:
        """Its status and headers; of a refusal the body as well."""
        return self._answer

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self._answer.status

    async def pieces(self) -> AsyncIterator[bytes]:
        """What has come since the last time, again and again until the server ends the answer.

        Raises OSError where it does not, TimeoutError at one of the limits.
        """
        while True:
            if self._pieces:
                yield self._taken()
            elif self._over:
                break
            else:
                await self._news()
        if self._why is not None:
            raise self._why

    def _taken(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._bytes = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def _news(self) -> None:
        loop = asyncio.get_running_loop()
        self._more = loop.create_future()
        # Counted from here on: what waits in the network while nobody reads is no silence.
        silent, late = loop.time() + self.idle, TimeoutError("nothing came in time")
        timer = loop.call_at(min(silent, self.end), self._finish, late)
        try:
            await self._more
        finally:
            self._more = None
            timer.cancel()

    # -- called by the loop and the parser ----------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse on; what belongs to the flow waits to be read."""
        if not self._flowing:
            super().data_received(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._finish(ConnectionError(f"the answer is not HTTP: {error}"))

    def on_headers_complete(self) -> None:
        """An answer that accepts the request is here."""
        status = self._parser.get_status_code()
        if FINAL <= status < REFUSED and self._waiting is not None:
            self._flowing = True
            self._answer.status = status
            waiting, self._waiting = self._waiting, None
            if not waiting.done():
                waiting.set_result(self._answer)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if not self._flowing:
            super().on_body(data)
            return
        self._pieces.append(data)
        self._bytes += len(data)
        if self._bytes > MAX_WAITING and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        """The end of the flow, or of an answer that is none."""
        if self._flowing:
            self._finish(None)
        else:
            super().on_message_complete()

    def connection_lost(self, error: Exception | None) -> None:
        """The end, which is that of the answer as well where no header says so."""
        if not self._flowing:
            super().connection_lost(error)
            return
        whole = error is None and self._unbounded()
        self._finish(None if whole else error or ConnectionResetError("the stream was cut"))

    def _finish(self, why: Exception | None) -> None:
        if not self._over:
            self._over, self._why = True, why
            self.close()
            self._wake()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)
