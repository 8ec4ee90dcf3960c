"""HTTP to the API server: credentials, timeouts, throttling and retries, nothing of verbs.

Built on the ApiClient of the official package, without its models. Shaped by: proxies and netrc
read again on each request (three times the CPU), requests without a timeout that hang with the
server, half-open connections that no one notices (TCP keepalive is on), and servers that ask for
a pause with Retry-After and get a storm instead.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject, RESTResponse
from kubernetes.aio.config import ConfigException

from .breaker import Breaker
from .clock import Clock, SystemClock
from .errors import ApiError, TransportError, from_answer
from .hooks import NO_HOOKS, ApiHooks
from .ratelimit import TokenBucket

MAX_RETRIES = 5
MAX_RETRY_AFTER = 30.0
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


def _open_socket(address: Any) -> socket.socket:
    """A socket that finds out within a minute that its peer is gone."""
    family, kind, proto, _, _ = address
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
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


def _client(configuration: Configuration, user_agent: str) -> ApiClient:
    defaults = {"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()}
    configuration.client_session_kwargs = {
        **defaults,
        **(configuration.client_session_kwargs or {}),
    }
    client = ApiClient(configuration)
    client.rest_client = _Rest(configuration)
    client.user_agent = user_agent
    return client


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "").strip()
    return float(value) if value.isdigit() else None


@dataclass(frozen=True, slots=True)
class Call:
    """One request; `label` is (verb, plural) for metrics.

    Urgent calls (leases) skip the limiter and are never repeated here.
    """

    method: str
    path: str
    label: tuple[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"
    urgent: bool = False


class Transport:
    """One session to one API server.

    `qps` and `burst` bound the requests of this process (watches and urgent calls excepted): they
    are a fuse against loops of our own, not a share of the server, which guards itself by API
    priority and fairness. `seconds` is the timeout of one attempt.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        qps: float = 1000.0,
        burst: float = 1000.0,
        seconds: float = 30.0,
        user_agent: str = "llama-operator",
        clock: Clock | None = None,
        hooks: ApiHooks | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.breaker = breaker or Breaker(clock=self.clock)
        self.seconds = seconds
        self._client = _client(configuration, user_agent)
        self._bucket = TokenBucket(qps, burst, self.clock)
        self._hooks = hooks or NO_HOOKS
        self._closed = False
        self._rand: Callable[[], float] = random.random

    async def close(self) -> None:
        """Close all connections; calls in flight and later ones fail with TransportError."""
        self._closed = True
        await self._client.close()

    async def request(self, call: Call) -> bytes:
        """Send, wait out Retry-After of 429 and 503 (bounded), return the body.

        Raises ApiError when the server refuses, TransportError when no complete answer comes.
        """
        for attempt in range(MAX_RETRIES + 1):
            if not call.urgent:
                self._hooks.throttled(await self._bucket.wait())
            try:
                return await self._exchange(call)
            except ApiError as error:
                pause = self._pause(error)
                if pause is None or call.urgent or attempt == MAX_RETRIES:
                    raise
            await self.clock.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _pause(self, error: ApiError) -> float | None:
        """Seconds to wait before the same request again; None when it must not be repeated."""
        if error.status not in {429, 503} or error.retry_after is None:
            return None
        return min(error.retry_after, MAX_RETRY_AFTER) * (1.0 + 0.1 * self._rand())

    async def _exchange(self, call: Call) -> bytes:
        limit = aiohttp.ClientTimeout(total=self.seconds)
        started = self.clock.monotonic()
        code = "transport"
        try:
            response = await self._send(call, limit)
            data = await response.read()
            code = str(response.status)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self.lost(call, error) from error
        finally:
            self._hooks.request(*call.label, code, self.clock.monotonic() - started)
        return self._accept(response, data)

    async def open(self, call: Call, total: float, idle: float) -> aiohttp.ClientResponse:
        """Open a stream; at most `total` seconds in all and `idle` between two chunks.

        Raises as `request` does, without repeating; the caller closes the response.
        """
        limit = aiohttp.ClientTimeout(total=total, sock_read=idle)
        started = self.clock.monotonic()
        code = "transport"
        data = b""
        try:
            async with asyncio.timeout(self.seconds):
                response = await self._send(call, limit)
                code = str(response.status)
                if response.status >= 400:
                    data = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self.lost(call, error) from error
        finally:
            self._hooks.request(*call.label, code, self.clock.monotonic() - started)
        self._accept(response, data)
        return response

    async def _send(self, call: Call, limit: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        if self._closed:
            raise TransportError(f"{call.method} {call.path}: the session is closed")
        client = self._client
        headers = {
            "Content-Type": call.content_type,
            "Accept": call.accept,
            "User-Agent": client.user_agent,
        }
        try:
            await client.update_params_for_auth(
                headers, [], ["BearerToken"], call.path, call.method, call.body
            )
        except (ConfigException, OSError) as error:
            raise TransportError(f"the credentials cannot be read: {error}") from error
        url = client.configuration.host + call.path
        if call.query:
            url += "?" + urlencode(call.query)
        body = None if call.body is None else orjson.dumps(call.body)
        answer = await client.call_api(call.method, url, headers, body, _request_timeout=limit)
        response: aiohttp.ClientResponse = answer.response
        return response

    def _accept(self, response: aiohttp.ClientResponse, data: bytes) -> bytes:
        self.breaker.success()
        if response.status >= 400:
            raise from_answer(response.status, data, _retry_after(response.headers))
        return data

    def lost(self, call: Call, error: BaseException) -> TransportError:
        """Count a connection failure and name it."""
        text = f"{call.method} {call.path}: {type(error).__name__}: {error}".rstrip(": ")
        self.breaker.failure(text)
        return TransportError(text)


def decode(data: bytes, what: str) -> dict[str, Any]:
    """JSON object of an answer; a torn one is a transport failure."""
    try:
        value = orjson.loads(data)
    except ValueError as error:
        raise TransportError(f"{what}: the answer is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise TransportError(f"{what}: the answer is not an object but {type(value).__name__}")
    return value
