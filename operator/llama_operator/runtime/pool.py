"""Requests to one server over connections that are kept, by whom the official package would send
them: its address, its authorities and certificates, its limit of connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit
from weakref import WeakSet

from kubernetes.aio.client import Configuration

from .errors import TransportError
from .flow import Flow
from .wire import Answer, Connection, Limits

_PORTS = {"https": 443, "http": 80}
C = TypeVar("C", bound=Connection)


class Pool:
    """Connections to the server of a configuration; `context` is that of its TLS.

    `user_agent` is sent with each request. Requests beyond the configuration's limit of
    connections wait for one. Raises TransportError for an address that is none.
    """

    def __init__(
        self, configuration: Configuration, context: ssl.SSLContext, user_agent: str
    ) -> None:
        url = urlsplit(configuration.host)
        if url.scheme not in _PORTS or not url.hostname:
            raise TransportError(
                f"the server {configuration.host!r} is not an http or https address"
            )
        self._host, self._port = url.hostname, url.port or _PORTS[url.scheme]
        self._context = context if url.scheme == "https" else None
        self._server_name = configuration.tls_server_name or None
        self._prefix = url.path.rstrip("/")
        self._tail = f" HTTP/1.1\r\nHost: {url.netloc}\r\nUser-Agent: {user_agent}\r\n"
        self._room = asyncio.Semaphore(configuration.connection_pool_maxsize)
        # Closed ones leave by themselves.
        self._all: WeakSet[Connection] = WeakSet()
        self._idle: list[Connection] = []
        self._closed = False

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Answer:
        """The answer, whatever its status.

        Raises OSError (TimeoutError after so many seconds in all) when no complete one comes.
        """
        head = self._head(method, path, headers, body)
        end = asyncio.get_running_loop().time() + seconds
        connection = await self._free(end)
        try:
            return await connection.exchange(head, body, end)
        finally:
            self._keep(connection)
            self._room.release()

    async def open(self, path: str, headers: Mapping[str, str], limits: Limits) -> Flow:
        """An answer that comes in pieces, from its headers on; a refusal is whole, and nothing flows.

        Raises as `request` does; whoever asked closes.
        """
        head = self._head("GET", path, headers, b"")
        now = asyncio.get_running_loop().time()
        async with asyncio.timeout_at(now + limits.headers):
            flow = await self._connected(Flow)
        flow.idle, flow.end = limits.idle, now + limits.total
        await flow.exchange(head, b"", now + limits.headers)
        return flow

    def close(self) -> None:
        """Close all connections; requests in flight fail, those that are connecting as well."""
        self._closed = True
        for connection in [*self._all]:
            connection.close()
        self._idle.clear()

    def _head(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        fields = "\r\n".join(lines)
        return f"{method} {self._prefix}{path}{self._tail}{fields}\r\n\r\n".encode("latin-1")

    async def _free(self, end: float) -> Connection:
        """A connection to use, and the room for it, which the caller gives back."""
        if not self._room.locked():
            await self._room.acquire()  # at once
        else:
            async with asyncio.timeout_at(end):
                await self._room.acquire()
        try:
            kept = self._kept()
            if kept is not None:
                return kept
            async with asyncio.timeout_at(end):
                return await self._connected(Connection)
        except BaseException:
            self._room.release()
            raise

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
            connection.close()
        return None

    def _keep(self, connection: Connection) -> None:
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()

    async def _connected(self, kind: type[C]) -> C:
        named = self._server_name if self._context else None
        _, connection = await asyncio.get_running_loop().create_connection(
            kind, self._host, self._port, ssl=self._context, server_hostname=named
        )
        self._all.add(connection)
        if self._closed:
            connection.close()
        return connection
