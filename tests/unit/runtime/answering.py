"""Servers that answer as they should and as they do."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from kubernetes.aio.client import Configuration

from llama_operator.runtime.pool import Pool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\n{}"


class Served:
    """A server that gives each request one of the answers, in pieces; None: it hangs up."""

    def __init__(self, *answers: list[bytes] | None, hold: bool = False) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._answers = [*answers]
        self.go = asyncio.Event()
        if not hold:
            self.go.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._one(reader, writer)
                if writer.is_closing():
                    return

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
        body = await reader.readexactly(int(length[0].split(b": ")[1])) if length else b""
        self.requests.append(head + body)
        await self.go.wait()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        for piece in answer or ():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)
        if answer is None or b"close" in b"".join(answer):
            writer.close()


Answerer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(served: Answerer, **settings: object) -> AsyncIterator[Pool]:
    server = await asyncio.start_server(served, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    configuration = Configuration(host=f"http://127.0.0.1:{port}/base/")
    for name, value in settings.items():
        setattr(configuration, name, value)
    pool = Pool(configuration, ssl.create_default_context(), "someone")
    try:
        yield pool
    finally:
        pool.close()
        server.close()
