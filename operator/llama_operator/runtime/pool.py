"""Requests to one server over connections that are kept, by whom the official package would send
them: its address, its authorities and certificates, its limit of connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from kubernetes.aio.client import Configuration

from .errors import TransportError
from .wire import Answer, Connection

_PORTS = {"https": 443, "http": 80}


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
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []
        self._closed = False

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Answer:
        """The answer, whatever its status.

        Raises OSError (TimeoutError after so many seconds in all) when no complete one comes.
        """
        head = self._head(method, path, headers, body)
        async with asyncio.timeout(seconds), self._room:
            connection = self._kept() or await self._opened()
            try:
                return await connection.exchange(head, body)
            finally:
                self._keep(connection)

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

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
            self._drop(connection)
        return None

    def _keep(self, connection: Connection) -> None:
        if connection.reusable:
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._all.discard(connection)

    async def _opened(self) -> Connection:
        named = self._server_name if self._context else None
        _, connection = await asyncio.get_running_loop().create_connection(
            Connection, self._host, self._port, ssl=self._context, server_hostname=named
        )
        self._all.add(connection)
        if self._closed:
            self._drop(connection)
        return connection
