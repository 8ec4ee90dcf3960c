"""Stands before an inference engine: which routes are open, whose keys count, who asked how much.

Pure ASGI, for `vllm serve --middleware llama_guard.Guard`. New routes of an engine are closed until
they are named here. LLAMA_GUARD_KEYS is where a Secret is mounted, each entry a key; or "none".
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import math
import os
import re
import time
from calendar import timegm
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = {"/health": ("GET",), "/ping": ("GET", "POST"), "/version": ("GET",), "/metrics": ("GET",)}
_GET = ("/v1/models", "/load", "/tokenizer_info")
_POST = (
    *("/v1/chat/completions", "/v1/chat/completions/batch", "/v1/completions", "/v1/responses"),
    *("/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings", "/v2/embed", "/v1/score"),
    *("/score", "/v1/rerank", "/v2/rerank", "/rerank", "/classify", "/pooling", "/tokenize"),
    *("/detokenize", "/v1/audio/transcriptions", "/v1/audio/translations", "/generative_scoring"),
    "/cohere/v2/chat",
)
WITH_KEY = {
    **dict.fromkeys(_GET, ("GET",)),
    **dict.fromkeys(_POST, ("POST",)),
    "/v1/realtime": ("WEBSOCKET",),
}
RESPONSE = re.compile(r"/v1/responses/[A-Za-z0-9_-]{1,128}(/cancel)?")
ROUTE, METHOD, NO_KEY, UNKNOWN, OLD = "route", "method", "no_key", "unknown_key", "old_key"
REFUSALS = {
    ROUTE: (404, "is closed here, with a key or without; use one of OpenAI's routes, such as"
                 " POST /v1/chat/completions"),
    METHOD: (405, "is not answered with this method"),
    NO_KEY: (401, "needs an API key: send 'Authorization: Bearer KEY'. `llamactl key show NAME`"
                  " prints it"),
    UNKNOWN: (401, "does not know this API key. `llamactl key show NAME` prints the one to send;"
                   " a new one counts within two minutes"),
    OLD: (401, "takes this API key no longer, it was rotated out. `llamactl key show NAME` prints"
               " the new one"),
}  # fmt: skip
# A key that was rotated out counts until the time in its entry's name.
ROTATED = re.compile(r"(.+)\.old-until-(\d{8}T\d{6}Z)")
CHECK_SECONDS = 1.0
# Where a body lies unread, the system resets the connection, and the refusal may never be read.
UNREAD_BYTES, UNREAD_SECONDS = 1 << 20, 2.0
TAIL_CHUNKS, TAIL_BYTES = 4, 8192
TOLD = {
    "prompt": re.compile(rb'"(?:prompt|input)_tokens":\s*(\d+)'),
    "completion": re.compile(rb'"(?:completion|output)_tokens":\s*(\d+)'),
}

log = logging.getLogger("vllm.llama_guard")
REQUESTS = Counter("llama_guard_requests", "Requests let through, by key.", ("key", "code"))
REFUSED = Counter("llama_guard_refused", "Requests refused, by reason.", ("reason",))
TOKENS = Counter("llama_guard_tokens", "Tokens that answers told of, by key.", ("key", "kind"))
ENTRIES = Gauge("llama_guard_keys", "Keys that are known.", multiprocess_mode="max")
STALE = Gauge(
    "llama_guard_keys_stale",
    "1 while the Secret gives no key and the last ones count on.",
    multiprocess_mode="max",
)


class Keys:
    """The keys of a mounted Secret, read again when the kubelet has written it anew."""

    def __init__(self, folder: Path) -> None:
        # Looked up by salted hash, so that the time it takes tells nothing of a key.
        self._folder, self._salt = folder, os.urandom(16)
        self._known: dict[bytes, tuple[str, float]] = {}
        self._stamp, self._next, self._why = (0, 0), 0.0, ""
        self.refresh()
        if not self._known:
            raise SystemExit(f"llama_guard: no API key in the Secret at {folder}: {self._why}")

    def find(self, key: bytes) -> tuple[str | None, str]:
        """(name of its entry, "") of a key that counts, else (None, why it does not)."""
        name, until = self._known.get(self._hash(key), (None, math.inf))
        if name is None:
            return None, UNKNOWN
        return (name, "") if time.time() < until else (None, OLD)

    def refresh(self) -> None:
        """At most once a second, one look at whether the mount has changed."""
        if (now := time.monotonic()) < self._next:
            return
        self._next = now + CHECK_SECONDS
        try:
            # The kubelet writes a new directory, then turns this link to it.
            data = self._folder / "..data"
            found = (data if data.exists() else self._folder).stat()
            if (stamp := (found.st_ino, found.st_mtime_ns)) != self._stamp:
                self._take(self._read())
                self._stamp = stamp
        except OSError as error:
            self._keep(str(error.strerror))

    def _read(self) -> dict[bytes, tuple[str, float]]:
        known: dict[bytes, tuple[str, float]] = {}
        # Backwards: of two entries with one key that count as long, the first gives the name.
        for entry in sorted(self._folder.iterdir(), reverse=True):
            if entry.name.startswith("..") or not (key := entry.read_bytes().strip()):
                continue
            old = ROTATED.fullmatch(entry.name)
            name, until = (f"{old[1]}.old", _seconds(old[2])) if old else (entry.name, math.inf)
            if until >= known.get(self._hash(key), ("", 0.0))[1]:
                known[self._hash(key)] = (name, until)
        return known

    def _take(self, known: dict[bytes, tuple[str, float]]) -> None:
        if not known:
            return self._keep("no entry with a key")
        self._known, self._why = known, ""
        ENTRIES.set(len(known))
        STALE.set(0)
        log.info("llama_guard: API keys: %s", ", ".join(sorted(name for name, _ in known.values())))
        return None

    def _keep(self, why: str) -> None:
        if self._known and not self._why:
            STALE.set(1)
            log.warning("llama_guard: no API key in the Secret (%s); the last ones count on", why)
        self._why = why

    def _hash(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, key=self._salt, digest_size=16).digest()


def _configured() -> Keys | None:
    where = os.environ.get("LLAMA_GUARD_KEYS")
    if not where:
        raise SystemExit("llama_guard: LLAMA_GUARD_KEYS names no directory, and is not 'none'")
    return None if where == "none" else Keys(Path(where))


# When vLLM loads this file: what is raised here is the last line of its log.
AT_START = _configured()


class Guard:
    """The middleware; nothing may stand before it."""

    def __init__(self, app: App, keys: Keys | None = AT_START) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; what is let through is passed on unchanged, and so is its answer."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if self._keys:
            self._keys.refresh()
        name, reason = self._judge(scope)
        if reason:
            REFUSED.labels(reason).inc()
            await _read_off(scope, receive)
            return await _refuse(scope, send, reason)
        if name is None:
            return await self._app(scope, receive, send)
        return await self._counted(name, scope, receive, send)

    def _judge(self, scope: Scope) -> tuple[str | None, str]:
        """(whom to count it for, "") to let it through, else (None, why not)."""
        path, headers = _path(scope), dict(reversed(scope["headers"]))
        method = scope["method"] if scope["type"] == "http" else scope["type"].upper()
        methods = OPEN.get(path) or WITH_KEY.get(path) or _of_response(path)
        if not methods:
            return None, ROUTE
        if method == "OPTIONS" and b"access-control-request-method" in headers:
            return None, ""  # a browser asks before it sends the key; CORS answers, no route does
        if ("GET" if method == "HEAD" else method) not in methods:
            return None, METHOD
        if path in OPEN:
            return None, ""
        if not self._keys:
            return "", ""
        key = _key(headers)
        return self._keys.find(key) if key else (None, NO_KEY)

    async def _counted(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        code = 101 if scope["type"] == "websocket" else 500
        tail: deque[bytes] = deque(maxlen=TAIL_CHUNKS)

        async def watched(message: dict[str, Any]) -> None:
            nonlocal code
            if message["type"] == "http.response.body":
                if message.get("body"):
                    tail.append(message["body"])
            elif message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            REQUESTS.labels(name, code).inc()
            _count_tokens(name, tail)


def _seconds(stamp: str) -> float:
    try:
        return timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return 0.0  # no such day: it is over


def _path(scope: Scope) -> str:
    # As the router sees it, or what is judged here is not what is served there.
    path: str = scope["path"]
    root = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _of_response(path: str) -> tuple[str, ...]:
    found = RESPONSE.fullmatch(path)
    return (("POST",) if found[1] else ("GET",)) if found else ()


def _key(headers: dict[bytes, bytes]) -> bytes:
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    # Anthropic's clients have a header of their own.
    return (key if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")).strip()


def _count_tokens(name: str, tail: deque[bytes]) -> None:
    """Usage stands at the end of an answer; of a stream, if it was asked for."""
    text = b"".join(chunk[-TAIL_BYTES:] for chunk in tail)
    at = text.rfind(b'"usage":')
    for kind, pattern in TOLD.items() if at >= 0 else ():
        if found := pattern.search(text, at):
            TOKENS.labels(name, kind).inc(int(found[1]))


async def _read_off(scope: Scope, receive: Receive) -> None:
    # Who asks before sending a body is told no before it is sent.
    if scope["type"] == "http" and not any(name == b"expect" for name, _ in scope["headers"]):
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_read(receive, UNREAD_BYTES), UNREAD_SECONDS)


async def _read(receive: Receive, most: int) -> None:
    while most > 0:
        message = await receive()
        if not message.get("more_body"):
            return
        most -= len(message.get("body", b""))


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": 1008, "reason": reason})
    code, words = REFUSALS[reason]
    message = f"{scope['method']} {scope['path'][:200]} {words}."
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": reason}
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b"Bearer"),
        (b"access-control-allow-origin", b"*"),
    ]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else body
    return await send({"type": "http.response.body", "body": body})
