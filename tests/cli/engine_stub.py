"""A server that speaks OpenAI's protocol like vLLM does, for the chat commands' tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.cli.fake_api import serve


@dataclass
class Engine:
    """What it was asked, and how it answers."""

    key: str = "sk-secret-0123456789"
    words: tuple[str, ...] = ("Par", "is", " é.")
    break_off: bool = False
    delay: float = 0.0  # seconds before each word
    at_once: int = 0  # requests that are being answered
    most_at_once: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization", "") != (f"Bearer {self.key}" if self.key else ""):
            return web.json_response({"error": "Unauthorized"}, status=401)
        body = await request.json()
        self.bodies.append(body)
        if body.get("max_tokens", 1) > 4096:
            error = {"message": "max_tokens is too large: the context is 4096", "code": 400}
            return web.json_response({"error": error}, status=400)
        chat = request.path.endswith("/chat/completions")
        if body.get("stream"):
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                return await self._stream(request, chat, body)
            finally:
                self.at_once -= 1
        text = "".join(self.words)
        choice = {"message": {"content": text}} if chat else {"text": text}
        return web.json_response({"choices": [{**choice, "finish_reason": "stop"}]})

    async def _stream(
        self, request: web.Request, chat: bool, body: dict[str, Any]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in self.words:
            await asyncio.sleep(self.delay)
            choice = {"delta": {"content": word}} if chat else {"text": word}
            await response.write(_event({"choices": [choice]}))
        if not self.break_off:
            await response.write(_event({"choices": [{"delta": {}, "finish_reason": "stop"}]}))
            if body.get("stream_options", {}).get("include_usage"):
                usage = {"prompt_tokens": len(body["prompt"].split()), "completion_tokens": 3}
                await response.write(_event({"choices": [], "usage": usage}))
            await response.write(b"data: [DONE]\n\n")
        return response


def _event(piece: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(piece, ensure_ascii=False).encode() + b"\n\n"


@contextmanager
def engine() -> Iterator[Engine]:
    """An Engine that listens."""
    stub = Engine()
    application = web.Application()
    application.router.add_post("/{path:.*}", stub.handle)
    with serve(application) as port:
        stub.port = port
        yield stub
