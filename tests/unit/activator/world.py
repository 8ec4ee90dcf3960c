"""An activator with an API server and servers that are played, all in one loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from tests.unit.runtime.fake_api import FakeApi
from tests.unit.runtime.helpers import eventually

from llama_operator.activator.program import Activator, Options

LLAMAS = "/apis/llamactl.dev/v1alpha1/namespaces/default/llamadeployments"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
KEY = {"Authorization": "Bearer sk-right"}
SERVER_PORT = 8000


class Engine:
    """A server that counts who has asked it, and answers as vLLM does."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.seen: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.running, self.ended = 0, 0
        self.left = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.address = ""
        self._runner = web.AppRunner(self._app(), handler_cancellation=True, shutdown_timeout=0.1)

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/v1/stream", self._stream)
        app.router.add_post("/v1/torn", self._torn)
        app.router.add_post("/v1/silent", self._silent)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = f"127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=page(self.running, self.ended))

    async def _answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.asked[request.headers.get("X-Id", "")] += 1
        self.seen.append(request)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        self.ended += 1
        return web.json_response({"id": request.headers.get("X-Id", "")}, headers={"X-Engine": "1"})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for number in range(3):
            await answer.write(f"data: {number}\n\n".encode())
            await self.go_on.wait()
        return answer

    async def _torn(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return answer

    async def _silent(self, request: web.Request) -> web.Response:
        self.asked[request.headers["X-Id"]] += 1
        await request.read()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


def page(running: float, ended: float) -> str:
    return (
        "# TYPE vllm:num_requests_running gauge\n"
        f'vllm:num_requests_running{{engine="0",model_name="m"}} {running}\n'
        f'vllm:num_requests_waiting{{engine="0",model_name="m"}} 0.0\n'
        f'vllm:request_success_total{{finished_reason="stop"}} {ended}\n'
        f'vllm:request_success_total{{finished_reason="length"}} 0\n'
    )


class World:
    """One deployment called web, at zero."""

    def __init__(self, server: FakeApi, tmp_path: Path, **options: Any) -> None:
        self.api_server = server
        self.engine = Engine()
        keys = tmp_path / "keys"
        keys.mkdir(exist_ok=True)
        (keys / "default").write_text("sk-right")
        self.keys = keys
        given = {
            "host": "127.0.0.1",
            "port": 0,
            "admin_port": 0,
            "keys": str(keys),
            "idle_after": 600.0,
            "drain_timeout": 0.2,
        }
        self.options = Options("default", "web", **{**given, **options})
        self.activator = Activator(self.options, server.api())
        self.stop = asyncio.Event()
        self.session = aiohttp.ClientSession()

    # -- the cluster ----------------------------------------------------------------------------

    def deployment(self, replicas: int = 0, **spec: Any) -> None:
        progressing = {
            "type": "Progressing",
            "status": "True",
            "reason": "RolloutComplete",
            "observedGeneration": 1,
        }
        scaling = {"autoscaling": {"minReplicas": 0}}
        self.api_server.put(
            LLAMAS,
            {
                "spec": {"replicas": replicas, **scaling, **spec},
                "status": {"conditions": [progressing]},
            },
            name="web",
            generation=1,
        )

    @property
    def replicas(self) -> int:
        """What is asked for."""
        found = self.api_server.get(f"{LLAMAS}/web")
        assert found is not None
        return int(found["spec"]["replicas"])

    def ready(self, *addresses: str, is_ready: bool = True) -> None:
        self.api_server.put(
            SLICES,
            {
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": int((addresses or ("x:1",))[0].split(":")[1])}],
                "endpoints": [
                    {
                        "addresses": [each.split(":")[0]],
                        "conditions": {"ready": is_ready},
                        "targetRef": {"name": f"pod-{each}"},
                    }
                    for each in addresses
                ],
            },
            name="web-1",
            labels={"kubernetes.io/service-name": "web"},
        )

    # -- a client -------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.activator.port}"

    async def ask(
        self, who: str = "1", path: str = "/v1/chat", **options: Any
    ) -> tuple[int, bytes]:
        headers = {**KEY, "X-Id": who, **options.pop("headers", {})}
        async with self.session.post(
            f"{self.url}{path}", headers=headers, data=options.pop("data", b"{}"), **options
        ) as answer:
            return answer.status, await answer.read()

    async def admin(self, path: str) -> str:
        address = f"http://127.0.0.1:{self.activator.admin.port}{path}"
        async with self.session.get(address) as answer:
            return await answer.text()

    async def held(self, count: int) -> None:
        """Until so many requests wait."""
        await eventually(lambda: self.activator.room.held == count)


@contextlib.asynccontextmanager
async def running(server: FakeApi, tmp_path: Path, **options: Any) -> AsyncIterator[World]:
    world = World(server, tmp_path, **options)
    world.deployment()
    await world.engine.start()
    life = asyncio.ensure_future(world.activator.run(world.stop))
    try:
        await eventually(lambda: world.activator.listens or life.done())
        if life.done():
            life.result()
        yield world
    finally:
        await world.session.close()
        world.stop.set()
        await life
        await world.engine.stop()
