"""Loads and unloads LoRA adapters inside an inference engine, as a mounted list says.

Pure ASGI, for `vllm serve --middleware llama_adapters.Adapters`, with the guard before it. vLLM's
own routes are called in the process, past the guard, which closes them to everybody outside.
What the list names at the start is loaded before the port opens, so no request finds an adapter
missing; one that cannot be loaded is told of, tried again, and keeps no server from answering.
After each change, and now and then, one line in the log says what is loaded.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LIST = Path(os.environ.get("LLAMA_ADAPTERS_LIST", "/etc/llama-adapters-list/adapters.json"))
FILES = Path(os.environ.get("LLAMA_ADAPTERS_FILES", "/adapters"))
# Directories that the operator makes, and nothing else that a list could name.
PLACE = re.compile(r"[a-z0-9][a-z0-9.-]*/[0-9a-f]{16}")
LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
CHECK_SECONDS = 2.0
# A directory that was just made may not be seen yet on a network volume.
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 10.0, 300.0
LOAD_SECONDS = 120.0
# For whoever reads the log of a server that has run for long.
SAY_AGAIN_SECONDS = 600.0
TOLD_BYTES = 300

log = logging.getLogger("vllm.llama_adapters")


class Adapters:
    """The middleware."""

    def __init__(self, app: App, listed: Path = LIST, files: Path = FILES) -> None:
        self._app, self._list, self._files = app, listed, files
        self._loaded: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._wanted: dict[str, str] = {}
        self._retry, self._next = FIRST_RETRY_SECONDS, 0.0
        self._said, self._say_at = "", 0.0
        self._watch: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Only the start and the end of the server are ours; requests pass."""
        if scope["type"] != "lifespan":
            return await self._app(scope, receive, send)

        async def told(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self.once(scope)
                self._watch = asyncio.create_task(self._follow(scope))
            elif message["type"].startswith("lifespan.shutdown") and self._watch:
                self._watch.cancel()
            await send(message)

        return await self._app(scope, receive, told)

    async def _follow(self, scope: Scope) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.once(scope)

    async def once(self, scope: Scope) -> None:
        """One look at the list, and what follows from it; never raises."""
        try:
            self._look()
            if self._due():
                await self._settle(scope)
            self._say()
        except Exception:
            log.exception("llama_adapters: the list cannot be followed; it is tried again")

    def _look(self) -> None:
        try:
            found = json.loads(self._list.read_bytes())
        except FileNotFoundError:
            found = {}
        wanted = {str(name): str(place) for name, place in found.items()}
        if wanted != self._wanted:
            self._wanted, self._retry, self._next = wanted, FIRST_RETRY_SECONDS, 0.0

    def _due(self) -> bool:
        return self._wanted != self._loaded and time.monotonic() >= self._next

    async def _settle(self, scope: Scope) -> None:
        for name in [each for each in self._loaded if each not in self._wanted]:
            await self._unload(scope, name)
        self._failed = {}
        for name, place in self._wanted.items():
            if self._loaded.get(name) != place:
                await self._load(scope, name, place)
        self._next = time.monotonic() + self._retry
        self._retry = min(2 * self._retry, LAST_RETRY_SECONDS)

    async def _load(self, scope: Scope, name: str, place: str) -> None:
        directory = self._files / place
        if not PLACE.fullmatch(place):
            self._failed[name] = "the list names a directory that is not of the operator's making"
            return
        if not (directory / "adapter_config.json").is_file():
            self._failed[name] = f"its files are not on the volume at {place}"
            return
        if name in self._loaded:
            await self._unload(scope, name)  # another copy under the same name
        status, text = await self._ask(
            scope, LOAD, {"lora_name": name, "lora_path": str(directory)}
        )
        if status == 200:
            self._loaded[name] = place
        else:
            self._failed[name] = f"the engine refused it ({status}): {text}"

    async def _unload(self, scope: Scope, name: str) -> None:
        status, text = await self._ask(scope, UNLOAD, {"lora_name": name})
        if status in (200, 404):
            del self._loaded[name]
        else:
            log.warning("llama_adapters: %s cannot be unloaded (%s): %s", name, status, text)

    async def _ask(self, scope: Scope, path: str, body: dict[str, str]) -> tuple[int, str]:
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                return await _request(self._app, scope, path, json.dumps(body).encode())
        except TimeoutError:
            return 504, f"no answer within {LOAD_SECONDS:g} s"

    def _say(self) -> None:
        text = json.dumps({"loaded": self._loaded, "failed": self._failed}, sort_keys=True)
        now = time.monotonic()
        if text != self._said or (self._wanted and now >= self._say_at):
            self._said, self._say_at = text, now + SAY_AGAIN_SECONDS
            log.info("llama_adapters: %s", text)


async def _request(app: App, lifespan: Scope, path: str, body: bytes) -> tuple[int, str]:
    """A POST to a route of the app itself: status and text of its answer."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
        "state": dict(lifespan.get("state", {})),
        "app": lifespan.get("app"),
    }
    sent = False
    status, text = 500, b""

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()  # this client stays until it has its answer
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, text
        if message["type"] == "http.response.start":
            status = message["status"]
        elif len(text) < TOLD_BYTES:
            text += message.get("body", b"")

    await app(scope, receive, send)
    return status, _words(text)


def _words(body: bytes) -> str:
    """The message of an error as OpenAI's clients get it, in one short line."""
    text = body.decode(errors="replace")
    try:
        found = json.loads(text)
        text = str(found.get("error", found).get("message", text))
    except (ValueError, AttributeError):
        pass
    return " ".join(text.split())[:TOLD_BYTES]
