"""Requests through the session of the official package: what goes through a proxy."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject, RESTResponse

from .wire import REFUSED, Answer, Limits, keep_alive


def _open_socket(address: Any) -> socket.socket:
    family, kind, proto, _, _ = address
    sock = socket.socket(family, kind, proto)
    keep_alive(sock)
    return sock


class _Rest(RESTClientObject):  # type: ignore[misc]
    """The package's pool with our sockets, bodies as bytes, and without the proxy environment."""

    pool_manager: aiohttp.ClientSession | None

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(
            limit=self.maxsize, ssl=self.ssl_context, socket_factory=_open_socket
        )

    async def request(self, method: str, url: str, **options: Any) -> RESTResponse:
        """One request; the package's own encodes bodies with the slow `json`, and guesses types."""
        if self.pool_manager is None:
            self.pool_manager = self._create_pool_manager()
        response = await self.pool_manager.request(
            method,
            url,
            data=options["body"],
            headers=options["headers"],
            timeout=options["_request_timeout"],
            server_hostname=self.configuration.tls_server_name or None,
            proxy=self.proxy or None,
            proxy_headers=self.proxy_headers or None,
        )
        return RESTResponse(response)


def client_of(configuration: Configuration, user_agent: str) -> ApiClient:
    """The package's client of a server, which knows addresses, credentials and TLS."""
    defaults = {"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()}
    configuration.client_session_kwargs = {
        **defaults,
        **(configuration.client_session_kwargs or {}),
    }
    client = ApiClient(configuration)
    client.rest_client = _Rest(configuration)
    client.user_agent = user_agent
    return client


class SessionStream:
    """An answer as it comes; a refusal is whole."""

    def __init__(self, response: aiohttp.ClientResponse, answer: Answer) -> None:
        self._response = response
        self.answer = answer

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self.answer.status

    async def pieces(self) -> AsyncIterator[bytes]:
        """What has come; raises OSError (TimeoutError at a limit) where the answer has no end."""
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except aiohttp.ClientError as error:
            raise _as_os_error(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._response.close()


class Session:
    """Carries requests for a client."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Answer:
        """The answer, whatever its status; raises OSError when no complete one comes."""
        limit = aiohttp.ClientTimeout(total=seconds)
        try:
            return await _whole(await self._send(method, path, headers, body, limit))
        except aiohttp.ClientError as error:
            raise _as_os_error(error) from error

    async def open(self, path: str, headers: Mapping[str, str], limits: Limits) -> SessionStream:
        """As of a Pool."""
        limit = aiohttp.ClientTimeout(total=limits.total, sock_read=limits.idle)
        try:
            async with asyncio.timeout(limits.headers):
                response = await self._send("GET", path, headers, b"", limit)
                refused = response.status >= REFUSED
                answer = await _whole(response) if refused else Answer(response.status)
        except aiohttp.ClientError as error:
            raise _as_os_error(error) from error
        return SessionStream(response, answer)

    def close(self) -> None:
        """The client is closed by whoever made it."""

    async def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        limit: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        client = self._client
        told = {"User-Agent": client.user_agent, **headers}
        url = client.configuration.host + path
        answer = await client.call_api(method, url, told, body or None, _request_timeout=limit)
        response: aiohttp.ClientResponse = answer.response
        return response


async def _whole(response: aiohttp.ClientResponse) -> Answer:
    headers = [(name.lower(), value) for name, value in response.raw_headers]
    return Answer(response.status, headers, [await response.read()])


def _as_os_error(error: aiohttp.ClientError) -> OSError:
    """One kind of failure for whoever asks, however it is carried."""
    if isinstance(error, OSError):
        return error
    return ConnectionError(f"{type(error).__name__}: {error}".rstrip(": "))
