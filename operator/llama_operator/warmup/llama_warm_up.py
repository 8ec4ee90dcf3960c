"""Asks an inference engine for its first tokens before its /health says that it is well.

Pure ASGI, for `vllm serve --middleware llama_warm_up.WarmUp`, inside of the guard. The first
request pays for what an engine leaves to it (kernels, the sampler, the tokenizer); and an engine
that cannot answer it would have been called ready. The request goes the way of all others.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH = "/v1/completions"
# Two tokens: the first comes of the prompt, the second of the cache. Without `model` it is the first
# that is served.
ASKED = {"prompt": "Hello", "max_tokens": 2, "stream": True, "ignore_eos": True}
# A probe waits 5 s for its answer.
PATIENCE_SECONDS = 4.0
NOT_YET = b"The first request has not been answered yet.\n"

log = logging.getLogger("vllm.llama_warm_up")


class WarmUp:
    """The middleware. /health answers 503 until a request was answered, or refused as unknown."""

    def __init__(self, app: App) -> None:
        self._app, self._warm = app, False
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; all but /health is passed on untouched."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, self._watched(scope, send))
        if self._warm or scope["type"] != "http" or scope["path"] != "/health":
            return await self._app(scope, receive, send)
        await asyncio.wait({self._begun(scope)}, timeout=PATIENCE_SECONDS)
        return await (self._app(scope, receive, send) if self._warm else _not_yet(send))

    def _watched(self, scope: Scope, send: Send) -> Send:
        async def watched(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self._begun(scope)  # before the first probe comes

        return watched

    def _begun(self, scope: Scope) -> asyncio.Task[None]:
        """The request that is under way; after one that failed, another."""
        if self._task is None or (self._task.done() and not self._warm):
            self._task = asyncio.create_task(self._first(scope.get("app")))
        return self._task

    async def _first(self, application: Any) -> None:
        try:
            answer = await _ask(self._app, application)
        except Exception as error:
            return log.warning("llama_warm_up: the first request failed: %r", error)
        if answer.failed:
            return log.warning("llama_warm_up: the first request was answered %s", answer.code)
        self._warm = True
        if answer.code == 200:
            return log.info("llama_warm_up: the first token came after %.2f s", answer.seconds)
        # Of a model that is not asked for text: that is no fault.
        return log.info("llama_warm_up: %s is not served (%s): no warm-up", PATH, answer.code)


class _Answer:
    """What came, and after how long the first part of it."""

    def __init__(self) -> None:
        self.code, self.seconds, self._began = 500, 0.0, time.monotonic()
        self._broken = False

    @property
    def failed(self) -> bool:
        return self.code >= 500 or self._broken

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.code = message["status"]
        elif body := message.get("body"):
            self.seconds = self.seconds or time.monotonic() - self._began
            # What goes wrong on the way comes in a stream that was begun with 200.
            self._broken = self._broken or body.startswith((b'data: {"error"', b'{"error"'))


async def _ask(app: App, application: Any) -> _Answer:
    body, answer = json.dumps(ASKED).encode(), _Answer()
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        # Until it is answered the client stays: an engine that listens must not see it go.
        return pending.pop() if pending else await asyncio.Future()

    await app(_scope(body, application), receive, answer.take)
    return answer


def _scope(body: bytes, application: Any) -> Scope:
    headers = {"host": "127.0.0.1", "content-type": "application/json"}
    headers["content-length"] = str(len(body))
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
        **({"app": application} if application is not None else {}),
    }


async def _not_yet(send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(NOT_YET)).encode())]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": NOT_YET})
