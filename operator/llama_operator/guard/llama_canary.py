"""Notices in the first of several ranks that another one was lost.

vLLM's /health stays 200 until a request fails, and while nobody asks none does. So when nothing was
answered for a while one token is computed, at the next look of a probe: behind the guard, in the
server itself, without a key, a connection or a call of the API server. A rank that is gone makes that
request fail, upon which vLLM ends by itself; a server that only hangs is told by /health from then on.

Pure ASGI, for `vllm serve --middleware llama_canary.Canary`. LLAMA_CANARY_MODEL is the name to ask for.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from prometheus_client import Counter, Gauge

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

EVERY_SECONDS = 60.0
# A server with nothing else to do needs milliseconds.
WITHIN_SECONDS = 60.0
PATH = "/v1/completions"

log = logging.getLogger("vllm.llama_canary")
# Whoever asks since when a server is idle takes these off what vLLM has counted.
REQUESTS = Counter("llama_canary_requests", "Requests of the canary's own.")
RUNNING = Gauge("llama_canary_running", "1 while one of them runs.", multiprocess_mode="max")
FAILING = Gauge("llama_canary_failing", "1 after one had no answer.", multiprocess_mode="max")


class Canary:
    """The middleware; the guard stands before it."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._busy, self._heard, self._why = 0, monotonic(), ""
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; only /health is ever answered here."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if scope["path"] == "/health":
            self._look(scope)
            if self._why:
                return await _unwell(send, self._why)
        elif scope["method"] == "POST":
            return await self._watched(scope, receive, send)
        return await self._app(scope, receive, send)

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request that works needs no canary beside it, and one that runs will tell as well."""
        code = 0

        async def watched(message: dict[str, Any]) -> None:
            nonlocal code
            code = message.get("status", code)
            await send(message)

        self._busy += 1
        try:
            await self._app(scope, receive, watched)
        finally:
            self._busy -= 1
        if code == 200:
            self._judged("")

    def _look(self, scope: Scope) -> None:
        waits = monotonic() - self._heard < EVERY_SECONDS
        if self._busy or waits or (self._task and not self._task.done()):
            return
        self._task = asyncio.ensure_future(self._sing(scope))

    async def _sing(self, scope: Scope) -> None:
        REQUESTS.inc()
        RUNNING.set(1)
        try:
            code = await asyncio.wait_for(_completion(self._app, scope), WITHIN_SECONDS)
            why = "" if code == 200 else f"answered {code}"
        except asyncio.TimeoutError:  # noqa: UP041 - another class before Python 3.11
            why = f"had no answer within {WITHIN_SECONDS:.0f} s"
        except Exception as error:
            why = f"failed: {type(error).__name__}"
        finally:
            RUNNING.set(0)
        self._judged(why)

    def _judged(self, why: str) -> None:
        if why and not self._why:
            log.error("llama_canary: a request for one token %s: a rank may be lost", why)
        self._why = why
        FAILING.set(bool(why))
        if not why:
            self._heard = monotonic()


async def _completion(app: App, scope: Scope) -> int:
    """The status of the answer to a request for one token."""
    asked = {"model": os.environ.get("LLAMA_CANARY_MODEL", ""), "prompt": "a", "max_tokens": 1}
    body, code = json.dumps(asked).encode(), 0
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not parts:
            await asyncio.Event().wait()  # it never goes away before its answer
        return parts.pop()

    async def send(message: dict[str, Any]) -> None:
        nonlocal code
        code = message.get("status", code)

    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    own = {"method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b""}
    await app({**scope, **own, "headers": headers}, receive, send)
    return code


async def _unwell(send: Send, why: str) -> None:
    body = f"a request for one token {why}: a rank may be lost\n".encode()
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
