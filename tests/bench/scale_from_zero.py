"""100 requests to a deployment without a replica; run by `make bench-scale-from-zero`.

A real API server and controller manager, the operator and the activator as processes, each with the
account and the rights that it has in a pod. Played are node and server: it is ready so many seconds
after its pod was made. Exits 1 where a request is not answered, or more than once.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from llama_operator.api import labels
from llama_operator.reconcile import resources
from llama_operator.runtime import Api, load_configuration
from llama_operator.runtime.errors import NotFound
from llama_operator.runtime.resource import Resource
from tests.bench.played_servers import Engine, Players, own_address
from tests.support import builders
from tests.support.cluster import Cluster
from tests.support.cluster.ports import held
from tests.support.ready_copy import COPY, make_copy
from tests.support.stack import Stack

NAMESPACE, NAME = "zero", "web"
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
SELECTOR = f"{labels.DEPLOYMENT}={NAME},{labels.COMPONENT}={labels.SERVER}"
IDLE_SECONDS = 2
MOST_SECONDS = 120.0


@dataclass
class Figures:
    """What a run came to."""

    asked: int
    answered: int
    twice: int
    held: int
    awake: float
    first: float
    last: float
    asleep: float

    @property
    def kept(self) -> bool:
        """Whether each request was answered once."""
        return (self.answered, self.twice) == (self.asked, 0)

    def __str__(self) -> str:
        return (
            f"{self.asked} requests to no replica: {self.answered} answered, {self.twice} twice, "
            f"{self.held} held at once\n"
            f"  a replica was asked for after {self.awake:.2f} s, the first answer came after "
            f"{self.first:.2f} s, the last one after {self.last:.2f} s\n"
            f"  none was asked for {self.asleep:.1f} s after the last answer "
            f"(idleAfter {IDLE_SECONDS} s)"
        )


class FromZero:
    """One deployment that may sleep, on a stack whose operator runs."""

    def __init__(self, stack: Stack, api: Api, scratch: Path) -> None:
        self._stack, self._api, self._scratch = stack, api, scratch

    async def measure(self, count: int, start_seconds: float) -> Figures:
        """All requests at once, to nobody; and how it goes back to sleep."""
        engine, host = Engine(), own_address()
        with held(1, host) as (server_port,), held(2) as (port, admin_port):
            pass
        await self._deployment(server_port)
        players = Players(self._api, NAMESPACE, SELECTOR)
        async with (
            engine.serving(host, server_port),
            self._activator(port, admin_port) as headers,
            players.node(),
        ):
            address = f"http://127.0.0.1:{port}"
            player = asyncio.ensure_future(players.play(host, start_seconds))
            run = asyncio.ensure_future(self._run(count, engine, address, headers))
            try:
                # A player that fails must not look like a server that never comes.
                parts = [player, run]
                await asyncio.wait(parts, timeout=MOST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if player.done():
                    player.result()
                if not run.done():
                    raise TimeoutError(f"not over after {MOST_SECONDS:g} s")
                return run.result()
            finally:
                player.cancel()
                run.cancel()

    async def _deployment(self, port: int) -> None:
        await self._api.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
        await make_copy(self._api, NAMESPACE)
        raw = builders.deployment(
            NAME,
            weightsRef={"name": COPY},
            replicas=0,
            endpoint={"port": port},
            autoscaling={"minReplicas": 0, "maxReplicas": 1, "idleAfter": f"{IDLE_SECONDS}s"},
        )
        raw["metadata"] = {"name": NAME, "namespace": NAMESPACE}
        await self._api.create(resources.DEPLOYMENTS, raw)

    @contextlib.asynccontextmanager
    async def _activator(self, port: int, admin_port: int) -> AsyncIterator[dict[str, str]]:
        """The program as the operator has rendered it, with its own account; yields the key."""
        pod = (await self._there(resources.SERVERS, f"{NAME}-activator"))["spec"]["template"]
        data = (await self._there(resources.SECRETS, f"{NAME}-api-key"))["data"]
        keys = self._scratch / "keys"
        keys.mkdir()
        key = base64.b64decode(data["default"])
        (keys / "default").write_bytes(key)
        await self._there(resources.BINDINGS, f"{NAME}-activator")
        cluster = self._stack.cluster
        config = await asyncio.to_thread(
            cluster.service_account_kubeconfig, NAMESPACE, f"{NAME}-activator"
        )
        own = [f"--kubeconfig={config}", f"--keys={keys}", "--host=127.0.0.1", f"--port={port}"]
        args = [*pod["spec"]["containers"][0]["args"], *own, f"--admin-port={admin_port}"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llama_operator", "activator", *args, "--log-format=text"),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            await _answers(f"http://127.0.0.1:{admin_port}/readyz")
            yield {"Authorization": f"Bearer {key.decode()}"}
        finally:
            process.terminate()
            await process.wait()

    async def _there(self, resource: Resource, name: str) -> dict[str, Any]:
        for _ in range(300):
            with contextlib.suppress(NotFound):
                return await self._api.get(resource, NAMESPACE, name)
            await asyncio.sleep(0.1)
        raise TimeoutError(f"{resource} {name} was not made within 30 s")

    async def _run(
        self, count: int, engine: Engine, address: str, headers: dict[str, str]
    ) -> Figures:
        began = time.monotonic()
        moments: list[float] = []
        async with aiohttp.ClientSession(
            address, headers=headers, connector=aiohttp.TCPConnector(limit=0)
        ) as session:
            stranger = await session.post(
                "/v1/chat/completions", headers={"Authorization": "Bearer no"}
            )
            if stranger.status != 401 or await self._replicas():
                raise AssertionError("somebody without a key has started a server")

            async def ask(number: int) -> bool:
                async with session.post(
                    "/v1/chat/completions", headers={"X-Id": str(number)}, json={"n": number}
                ) as answer:
                    right = answer.status == 200 and (await answer.json())["id"] == str(number)
                moments.append(time.monotonic() - began)
                return right

            asking = [asyncio.create_task(ask(number)) for number in range(count)]
            awake = await self._until(1) - began
            waiting = sum(not each.done() for each in asking)
            right = await asyncio.gather(*asking)
        ended = time.monotonic()
        asleep = await self._until(0) - ended
        twice = sum(number > 1 for number in engine.asked.values())
        return Figures(count, sum(right), twice, waiting, awake, min(moments), max(moments), asleep)

    async def _replicas(self) -> int:
        found = await self._api.get(resources.DEPLOYMENTS, NAMESPACE, NAME)
        return int(found["spec"]["replicas"])

    async def _until(self, replicas: int) -> float:
        end = time.monotonic() + 60
        while await self._replicas() != replicas:
            if time.monotonic() > end:
                raise TimeoutError(f"spec.replicas is not {replicas} after 60 s")
            await asyncio.sleep(0.05)
        return time.monotonic()


async def _answers(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(300):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise TimeoutError(f"{url} does not answer after 30 s")


async def measured(cluster: Cluster, scratch: Path, count: int, start_seconds: float) -> Figures:
    """One run on a cluster that serves our kinds; everything of it is gone afterwards."""
    stack = Stack(cluster)
    await asyncio.to_thread(stack.install)
    await asyncio.to_thread(stack.start_operator, "https://hub.invalid")
    api = Api(await load_configuration(cluster.kubeconfig))
    try:
        return await FromZero(stack, api, scratch).measure(count, start_seconds)
    finally:
        for resource, name in ((resources.DEPLOYMENTS, NAME), (resources.WEIGHTS, COPY)):
            with contextlib.suppress(NotFound):
                await api.delete(resource, NAMESPACE, name)
        await api.close()
        await asyncio.to_thread(stack.stop, "llama-operator")


def main() -> int:
    """Exit status 1 when a request was not answered, or more than once."""
    parser = argparse.ArgumentParser(prog="make bench-scale-from-zero", description=__doc__)
    parser.add_argument("--requests", type=int, default=100, help="default 100")
    parser.add_argument("--start", type=float, default=5.0, help="seconds that a server starts")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-zero-") as scratch,
        Cluster.control_plane(Path(scratch) / "cluster") as cluster,
    ):
        run = measured(cluster, Path(scratch), options.requests, options.start)
        figures = asyncio.run(run)
    print(figures)
    return 0 if figures.kept else 1


if __name__ == "__main__":
    sys.exit(main())
