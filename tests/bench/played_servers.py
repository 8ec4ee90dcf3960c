"""Servers that are played on a control plane without a kubelet, for what comes after their start.

The pods are the operator's, and Kubernetes' own controllers make them and their endpoints. Played are
the node that they are bound to (an endpoint needs one), their becoming ready, and what they answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from llama_operator.reconcile import resources
from llama_operator.runtime import Api
from llama_operator.runtime.errors import NotFound
from llama_operator.runtime.resource import Resource

Object = dict[str, Any]
NODE = "played"


@dataclass
class Engine:
    """A server that is played: it counts who has asked it."""

    asked: Counter[str] = field(default_factory=Counter)

    async def answer(self, request: web.Request) -> web.Response:
        """An answer that says whose it is."""
        await request.read()
        name = request.headers["X-Id"]
        self.asked[name] += 1
        return web.json_response({"id": name})

    async def metrics(self, _: web.Request) -> web.Response:
        """The series that say whether somebody was there."""
        text = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"
        return web.Response(text=f"{text}vllm:request_success_total {self.asked.total()}\n")

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[None]:
        """Listen meanwhile."""
        app = web.Application()
        app.router.add_get("/metrics", self.metrics)
        app.router.add_post("/v1/chat/completions", self.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        try:
            yield
        finally:
            await runner.cleanup()


def own_address() -> str:
    """An address of this machine that an endpoint may have; loopback may not be one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        return str(probe.getsockname()[0])


class Players:
    """Lets each server of one selector become ready so long after it was made."""

    def __init__(self, api: Api, namespace: str, selector: str) -> None:
        self._api, self._namespace, self._selector = api, namespace, selector

    @contextlib.asynccontextmanager
    async def node(self) -> AsyncIterator[None]:
        """A node that nothing is scheduled to; it and what was bound to it go at the end."""
        there = {"metadata": {"name": NODE}, "spec": {"unschedulable": True}}
        await self._api.create(resources.NODES, there)
        beat = {"type": "Ready", "status": "True", "reason": "Played", "lastHeartbeatTime": _now()}
        status = {"status": {"conditions": [beat]}}
        await self._api.patch(resources.NODES, None, NODE, status, subresource="status")
        try:
            yield
        finally:
            await self.end()
            await self._api.delete(resources.NODES, None, NODE)

    async def play(self, host: str, start_seconds: float) -> None:
        """For ever."""
        seen: set[str] = set()
        while True:
            for pod in await self._pods():
                name = pod["metadata"]["name"]
                if name not in seen:
                    seen.add(name)
                    await self._start(pod, host, start_seconds)
            await asyncio.sleep(0.05)

    async def _pods(self) -> list[Object]:
        return await self._api.list(resources.PODS, self._namespace, label_selector=self._selector)

    async def _start(self, pod: Object, host: str, seconds: float) -> None:
        name = pod["metadata"]["name"]
        bindings = Resource("", "v1", f"pods/{name}/binding", "Binding")
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        meta = {"name": name, "namespace": self._namespace}
        await self._api.create(bindings, {"metadata": meta, "target": target})
        await asyncio.sleep(seconds)
        await self._api.patch(
            resources.PODS, self._namespace, name, _ready(pod, host), subresource="status"
        )

    async def end(self) -> None:
        """What a kubelet does with pods that are to go."""
        for pod in await self._pods():
            with contextlib.suppress(NotFound):
                await self._api.delete(
                    resources.PODS, self._namespace, pod["metadata"]["name"], grace_seconds=0
                )


def _ready(pod: Object, host: str) -> Object:
    container = pod["spec"]["containers"][0]
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": _now()}
        for kind in ("Ready", "ContainersReady", "PodScheduled")
    ]
    state = {"name": container["name"], "image": container["image"], "imageID": "", "ready": True}
    running = {**state, "restartCount": 0, "state": {"running": {"startedAt": _now()}}}
    addresses = {"podIP": host, "podIPs": [{"ip": host}]}
    status = {"phase": "Running", **addresses, "conditions": conditions}
    return {"status": {**status, "containerStatuses": [running]}}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
