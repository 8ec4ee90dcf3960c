"""HTTP to the API server: credentials, timeouts, throttling and retries, nothing of verbs.

Built on the ApiClient of the official package, without its models: addresses, credentials and TLS
are its own, and so is all that goes through a proxy. Everything else goes through our own
connections, for a third of the CPU. Shaped by: proxies and netrc read
again on each request, requests without a timeout that hang with the server, half-open connections
that no one notices (TCP keepalive is on), and servers that ask for a pause with Retry-After and get
a storm instead.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlencode

import orjson
from kubernetes.aio.client import ApiClient, Configuration

from .breaker import Breaker
from .clock import Clock, SystemClock
from .credentials import Credentials
from .decoding import loads
from .errors import ApiError, TransportError, from_answer
from .flow import Flow
from .hooks import NO_HOOKS, ApiHooks
from .pool import Pool
from .ratelimit import TokenBucket
from .session import Session, SessionStream, client_of
from .wire import REFUSED, Answer, Limits

JSON = "application/json"
MAX_RETRIES = 5
MAX_RETRY_AFTER = 30.0
Stream = Flow | SessionStream
A = TypeVar("A", Answer, Stream)


def _carrier(client: ApiClient) -> Pool | Session:
    configuration = client.configuration
    if configuration.proxy:
        return Session(client)
    return Pool(configuration, client.rest_client.ssl_context, client.user_agent)


def _retry_after(answer: Answer) -> float | None:
    value = answer.header(b"retry-after").strip()
    return float(value) if value.isdigit() else None


@lru_cache(maxsize=512)
def _encoded(query: tuple[tuple[str, str], ...]) -> str:
    # A server is sent the same few queries again and again.
    return urlencode(query)


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
    content_type: str = JSON
    accept: str = JSON
    urgent: bool = False

    @property
    def target(self) -> str:
        """The path with its query."""
        return f"{self.path}?{_encoded(tuple(self.query.items()))}" if self.query else self.path

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
        self._client = client_of(configuration, user_agent)
        self._carrier = _carrier(self._client)
        self._credentials = Credentials(self._client, self.clock)
        self._bucket = TokenBucket(qps, burst, self.clock)
        self._hooks = hooks or NO_HOOKS
        self._closed = False
        self._rand: Callable[[], float] = random.random

    async def close(self) -> None:
        """Close all connections; calls in flight and later ones fail with TransportError."""
        self._closed = True
        self._carrier.close()
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
        headers = await self._headers(call)
        sent = self._carrier.request(call.method, call.target, headers, call.payload, self.seconds)
        answer = await self._told(call, sent)
        self._accept(answer)
        return answer.data

    async def open(self, call: Call, total: float, idle: float) -> Stream:
        """Open a stream; at most `total` seconds in all and `idle` between two pieces.

        Raises as `request` does, without repeating; the caller closes the stream.
        """
        headers = await self._headers(call)
        limits = Limits(self.seconds, idle, total)
        opening: Awaitable[Stream] = self._carrier.open(call.target, headers, limits)
        stream = await self._told(call, opening)
        try:
            self._accept(stream.answer)
        except ApiError:
            stream.close()
            raise
        return stream

    async def _told(self, call: Call, sent: Awaitable[A]) -> A:
        started = self.clock.monotonic()
        code = "transport"
        try:
            answer = await sent
            code = str(answer.status)
        except OSError as error:  # TimeoutError is one
            raise self.lost(call, error) from error
        finally:
            self._hooks.request(*call.label, code, self.clock.monotonic() - started)
        return answer

    async def _headers(self, call: Call) -> dict[str, str]:
        if self._closed:
            raise TransportError(f"{call.method} {call.path}: the session is closed")
        credentials = await self._credentials.headers()
        return {"Content-Type": call.content_type, "Accept": call.accept, **credentials}

    def _accept(self, answer: Answer) -> None:
        self.breaker.success()
        if answer.status >= REFUSED:
            raise from_answer(answer.status, answer.data, _retry_after(answer))

    def lost(self, call: Call, error: BaseException) -> TransportError:
        """Count a connection failure and name it."""
        text = f"{call.method} {call.path}: {type(error).__name__}: {error}".rstrip(": ")
        self.breaker.failure(text)
        return TransportError(text)


def decode(data: bytes, what: str, *, brief: bool = False) -> dict[str, Any]:
    """JSON object of an answer, if `brief` without managedFields; a torn one is a transport failure."""
    try:
        value = loads(data) if brief else orjson.loads(data)
    except ValueError as error:
        raise TransportError(f"{what}: the answer is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise TransportError(f"{what}: the answer is not an object but {type(value).__name__}")
    return value
