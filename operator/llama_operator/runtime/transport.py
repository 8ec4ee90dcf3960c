"""HTTP to the API server: credentials, timeouts, throttling and retries, nothing of verbs.

Built on the ApiClient of the official package, without its models: addresses, credentials and TLS
are its own, and so are streams, and all that goes through a proxy. Requests that are answered at
once go through our own connections, for a third of the CPU. Shaped by: proxies and netrc read
again on each request, requests without a timeout that hang with the server, half-open connections
that no one notices (TCP keepalive is on), and servers that ask for a pause with Retry-After and get
a storm instead.
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
from .pool import Pool
from .ratelimit import TokenBucket
from .wire import Answer, keep_alive

MAX_RETRIES = 5
MAX_RETRY_AFTER = 30.0
_REFUSED = 400


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


def _pool(client: ApiClient) -> Pool | None:
    """None where requests go through a proxy."""
    configuration = client.configuration
    if configuration.proxy:
        return None
    return Pool(configuration, client.rest_client.ssl_context, client.user_agent)


def _retry_after(answer: Answer) -> float | None:
    value = answer.header(b"retry-after").strip()
    return float(value) if value.isdigit() else None


async def _whole(response: aiohttp.ClientResponse) -> Answer:
    headers = [(name.lower(), value) for name, value in response.raw_headers]
    return Answer(response.status, headers, [await response.read()])


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

    @property
    def target(self) -> str:
        """The path with its query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    @property
    def payload(self) -> bytes:
        """The body as JSON; nothing where there is none."""
        return b"" if self.body is None else orjson.dumps(self.body)


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
        self._pool = _pool(self._client)
        self._bucket = TokenBucket(qps, burst, self.clock)
        self._hooks = hooks or NO_HOOKS
        self._closed = False
        self._rand: Callable[[], float] = random.random

    async def close(self) -> None:
        """Close all connections; calls in flight and later ones fail with TransportError."""
        self._closed = True
        if self._pool:
            self._pool.close()
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
        started = self.clock.monotonic()
        code = "transport"
        try:
            if self._pool is None:
                answer = await self._by_session(call)
            else:
                answer = await self._by(self._pool, call)
            code = str(answer.status)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self.lost(call, error) from error
        finally:
            self._hooks.request(*call.label, code, self.clock.monotonic() - started)
        self._accept(answer)
        return answer.data

    async def _by(self, pool: Pool, call: Call) -> Answer:
        headers = await self._headers(call)
        return await pool.request(call.method, call.target, headers, call.payload, self.seconds)

    async def _by_session(self, call: Call) -> Answer:
        limit = aiohttp.ClientTimeout(total=self.seconds)
        return await _whole(await self._send(call, limit))

    async def open(self, call: Call, total: float, idle: float) -> aiohttp.ClientResponse:
        """Open a stream; at most `total` seconds in all and `idle` between two chunks.

        Raises as `request` does, without repeating; the caller closes the response.
        """
        limit = aiohttp.ClientTimeout(total=total, sock_read=idle)
        started = self.clock.monotonic()
        code = "transport"
        try:
            async with asyncio.timeout(self.seconds):
                response = await self._send(call, limit)
                code = str(response.status)
                refused = response.status >= _REFUSED
                answer = await _whole(response) if refused else Answer(response.status)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self.lost(call, error) from error
        finally:
            self._hooks.request(*call.label, code, self.clock.monotonic() - started)
        self._accept(answer)
        return response

    async def _send(self, call: Call, limit: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        client = self._client
        headers = {"User-Agent": client.user_agent, **await self._headers(call)}
        url = client.configuration.host + call.target
        body = call.payload or None
        answer = await client.call_api(call.method, url, headers, body, _request_timeout=limit)
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _headers(self, call: Call) -> dict[str, str]:
        if self._closed:
            raise TransportError(f"{call.method} {call.path}: the session is closed")
        headers = {"Content-Type": call.content_type, "Accept": call.accept}
        try:
            await self._client.update_params_for_auth(
                headers, [], ["BearerToken"], call.path, call.method, call.body
            )
        except (ConfigException, OSError) as error:
            raise TransportError(f"the credentials cannot be read: {error}") from error
        if not headers.get("authorization", "").isprintable():
            raise TransportError("the credentials cannot be sent: a token holds a line break")
        return headers

    def _accept(self, answer: Answer) -> None:
        self.breaker.success()
        if answer.status >= _REFUSED:
            raise from_answer(answer.status, answer.data, _retry_after(answer))

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
