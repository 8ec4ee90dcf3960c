"""Servers that are played: OpenAI's API with a key, and vLLM's series at /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Engine:
    """One of them; it keeps what it was asked."""

    host: str
    key: str
    waiting: int = 0
    usage: float = 0.0
    # The last message of each request that it has answered.
    asked: list[str] = field(default_factory=list)
    # A stream ends once somebody has its beginning.
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        """What it answers."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    async def _metrics(self, _: web.Request) -> web.Response:
        series = {
            "vllm:num_requests_running": ("", 0.0),
            "vllm:num_requests_waiting": ("", float(self.waiting)),
            "vllm:kv_cache_usage_perc": ("", self.usage),
            "vllm:cache_config_info": (',block_size="16",num_gpu_blocks="4096"', 1.0),
        }
        lines = [
            f'# TYPE {name} gauge\n{name}{{engine="0"{more}}} {value}\n'
            for name, (more, value) in series.items()
        ]
        return web.Response(text="".join(lines))

    def _knows(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.key}"

    async def _models(self, request: web.Request) -> web.Response:
        if not self._knows(request):
            return web.json_response({"error": {"message": "no such key"}}, status=401)
        return web.json_response({"data": [{"id": "llama"}], "host": self.host})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if not self._knows(request):
            return web.json_response({"error": {"message": "no such key"}}, status=401)
        body = await request.json()
        self.asked.append(body["messages"][-1]["content"])
        if body.get("stream"):
            return await self._stream(request)
        return web.json_response({"host": self.host, "choices": []})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(_event({"host": self.host}))
        await asyncio.wait_for(self.begun.wait(), 30)
        await response.write(b"data: [DONE]\n\n")
        return response


def _event(data: dict[str, str]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


@contextlib.asynccontextmanager
async def serving(engines: Sequence[Engine], port: int) -> AsyncIterator[None]:
    """Each listens at its own address meanwhile."""
    runners = [web.AppRunner(each.app(), access_log=None) for each in engines]
    try:
        for runner, each in zip(runners, engines, strict=True):
            await runner.setup()
            await web.TCPSite(runner, each.host, port).start()
        yield
    finally:
        for runner in runners:
            await runner.cleanup()
