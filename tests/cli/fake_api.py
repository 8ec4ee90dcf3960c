"""A small API server that answers as a test says, and forwards ports of "pods".

The real one of the local cluster cannot be told to answer 429, to hang, or to run a pod without
a node; for the rest the tests use the real one. Port-forwarding speaks v4.channel.k8s.io as the
kubelet does: both channels open with a frame that names the port.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import WSMsgType, web

KINDS = (
    "/llamadeployments", "/llamaweights", "/pods", "/secrets", "/nodes", "/events", "/jobs",
    "/deployments", "/leases", "/clusterroles", "/roles", "/storageclasses",
    "/customresourcedefinitions", "/httproutes",
)  # fmt: skip
Answer = tuple[int, Any]
Handler = Callable[["Fake", str, str, dict[str, Any]], Answer | None]


class Fake:
    """Objects by URL path; `rules` may answer first. Everything asked is kept in `asked`."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.rules: list[Handler] = []
        self.asked: list[tuple[str, str]] = []
        self.authorization: list[str] = []
        self.pod_port = 0
        self.pod_error = ""
        self.port = 0

    def put(self, path: str, obj: dict[str, Any]) -> None:
        self.objects[path] = obj

    def kubeconfig(self, directory: Path, ca: Path | None = None) -> Path:
        path = directory / "kubeconfig"
        cluster = {"server": f"{'https' if ca else 'http'}://127.0.0.1:{self.port}"}
        cluster |= {"certificate-authority": str(ca)} if ca else {}
        path.write_text(
            yaml.safe_dump(
                {
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": {"token": "user-token"}}],
                    "contexts": [
                        {"name": "fake", "context": {"cluster": "c", "user": "u", "namespace": "n"}}
                    ],
                    "current-context": "fake",
                }
            )
        )
        return path

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs))
        self.authorization.append(request.headers.get("Authorization", ""))
        if request.path.endswith("/portforward"):
            return await self._forward(request)
        body = json.loads(await request.read() or b"{}")
        for rule in self.rules:
            answer = rule(self, request.method, request.path, body)
            if answer is not None:
                return _response(*answer)
        return _response(*self._stored(request.path, request.query.get("fieldSelector", "")))

    def _stored(self, path: str, fields: str) -> Answer:
        if path in self.objects:
            return 200, self.objects[path]
        under = [o for p, o in self.objects.items() if p.rsplit("/", 1)[0] == path]
        under = [obj for obj in under if _selected(obj, fields)]
        if under or path.endswith(KINDS):
            return 200, {"kind": "List", "metadata": {"resourceVersion": "7"}, "items": under}
        return 404, status(404, "NotFound", f"{path} not found")

    async def _forward(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        port = int(request.query["ports"]).to_bytes(2, "little")
        await socket.send_bytes(b"\x00" + port)
        await socket.send_bytes(b"\x01" + port)
        if self.pod_error:
            await socket.send_bytes(b"\x01" + self.pod_error.encode())
            await socket.close()
            return socket
        reader, writer = await asyncio.open_connection("127.0.0.1", self.pod_port)
        up = asyncio.ensure_future(_upward(socket, writer))
        while data := await reader.read(1000):
            await socket.send_bytes(b"\x00" + data)
        up.cancel()
        writer.close()
        await socket.close()
        return socket


def _selected(obj: dict[str, Any], fields: str) -> bool:
    """Whether it matches; a field that the test has not set does."""
    for path, _, wanted in (part.partition("=") for part in filter(None, fields.split(","))):
        value: Any = obj
        for key in path.split("."):
            value = value.get(key, {}) if isinstance(value, dict) else {}
        if value not in ({}, wanted):
            return False
    return True


async def _upward(socket: web.WebSocketResponse, writer: asyncio.StreamWriter) -> None:
    async for message in socket:
        if message.type == WSMsgType.BINARY and message.data[0] == 0:
            writer.write(message.data[1:])
            await writer.drain()


def status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details,
    }


def _response(code: int, body: Any) -> web.Response:
    if isinstance(body, str):
        return web.Response(status=code, text=body)
    return web.json_response(body, status=code)


@contextmanager
def serve(application: web.Application, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Run an application on a free port of 127.0.0.1, in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = web.AppRunner(application, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        return int(runner.addresses[0][1])

    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def fake_api(tls: ssl.SSLContext | None = None) -> Iterator[Fake]:
    """A Fake that listens."""
    fake = Fake()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fake.handle)
    with serve(application, tls) as port:
        fake.port = port
        yield fake
