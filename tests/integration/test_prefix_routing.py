"""Prefix-aware routing with real parts: Envoy, the inference extension's picker, HTTP.

The operator makes route, pool and picker on a real API server. The picker is built from its module and
runs with the arguments and the account that were made for it; before it stands an Envoy as a gateway's
controller would set it up for the route. Played are that controller, the node, and the servers, which
answer at addresses of their own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.bench.rollout import NAMESPACE, Stage
from tests.bench.rollout_cases import NAME
from tests.support import builders, gateway
from tests.support.cluster.ports import held
from tests.support.gateway import envoy, picker
from tests.support.gateway.engines import Engine, serving
from tests.support.played_node import answers, until
from tests.support.ready_copy import COPY

from llama_operator.api import labels
from llama_operator.reconcile import resources
from llama_operator.runtime.errors import NotFound
from llama_operator.runtime.resource import Resource

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]
Object = dict[str, Any]
HOSTS = ("127.0.0.2", "127.0.0.3")
HOST_NAME = "llama.example.com"
ROUTE: Object = {"parentRefs": [{"name": "public"}], "hostnames": [HOST_NAME]}
SECONDS = 60.0
PREFIXES, TIMES = 8, 4
# The picker reads its servers' metrics many times meanwhile, and hears of a pod.
SEEN_SECONDS = 1.0


class Way:
    """The way in: its address, its key, and the servers behind it."""

    def __init__(self, stage: Stage, engines: list[Engine]) -> None:
        self.stage, self.engines = stage, engines
        self.gateway = envoy.Envoy(0, 0)
        self.session: aiohttp.ClientSession

    @contextlib.asynccontextmanager
    async def asked(
        self, method: str, path: str, body: Object | None = None, key: str | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        key = self.engines[0].key if key is None else key
        headers = {"Host": HOST_NAME, **({"Authorization": f"Bearer {key}"} if key else {})}
        url = f"http://127.0.0.1:{self.gateway.port}{path}"
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            yield answer

    async def chat(self, prefix: str, question: str) -> str:
        """Which server has answered."""
        async with self.asked("POST", "/v1/chat/completions", _body(prefix, question)) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["host"])

    async def made(self, resource: Resource, name: str = NAME) -> Object:
        for _ in range(int(SECONDS * 10)):
            with contextlib.suppress(NotFound):
                return dict(await self.stage.api.get(resource, NAMESPACE, name))
            await asyncio.sleep(0.1)
        raise AssertionError(f"{resource.kind} {name} is not made\n{self.stage.status}")

    async def pod(self, number: int, status: Object) -> None:
        """What a kubelet says of a server's pod."""
        name = sorted(each["metadata"]["name"] for each in _servers(self.stage))[number]
        await self.stage.api.patch(
            resources.PODS, NAMESPACE, name, {"status": status}, subresource="status"
        )


def _servers(stage: Stage) -> list[Object]:
    """Pods of servers; that of the picker is played beside them."""
    found = stage.node.pods.store.list(NAMESPACE)
    return [
        pod for pod in found if pod["metadata"]["labels"].get(labels.COMPONENT) == labels.SERVER
    ]


def _body(prefix: str, question: str, **more: Any) -> Object:
    messages = [{"role": "system", "content": prefix}, {"role": "user", "content": question}]
    return {"model": "llama", "messages": messages, **more}


def _prefix(name: str) -> str:
    """Longer than many blocks of a cache, and of nobody else."""
    return " ".join(f"{name}-{number}" for number in range(400))


async def _life(directory: Path) -> None:
    await asyncio.to_thread(picker.install)
    with held(1, HOSTS[0]) as (port,):
        pass
    async with Stage.made(directory) as stage:
        every = (gateway.GATEWAYS, gateway.ROUTES, gateway.POOLS)
        watched = (gateway.OBJECTIVES, gateway.REWRITES)
        await asyncio.to_thread(gateway.define, stage.cluster, *every, *watched)
        await stage.node.gives(2)
        raw = builders.deployment(
            NAME,
            weightsRef={"name": COPY},
            replicas=2,
            endpoint={"httpRoute": ROUTE, "routing": "PrefixAware", "port": port},
        )
        raw["metadata"] = {"name": NAME, "namespace": NAMESPACE}
        await stage.api.create(resources.DEPLOYMENTS, raw)
        await until(lambda: sum(map(answers, _servers(stage))) == 2, SECONDS, "servers")
        async with _behind_a_gateway(stage, directory, port) as way:
            for part in (_a_key, _prefixes, _a_queue, _a_stream, _not_ready):
                await part(way)
        log = stage.cluster.processes.log(picker.NAME).read_text()
        assert "forbidden" not in log, log[-3000:]


@contextlib.asynccontextmanager
async def _behind_a_gateway(stage: Stage, directory: Path, port: int) -> AsyncIterator[Way]:
    secret = await stage.api.get(resources.SECRETS, NAMESPACE, f"{NAME}-api-key")
    key = base64.b64decode(secret["data"]["default"]).decode()
    way = Way(stage, [Engine(host, key) for host in HOSTS])
    route = await way.made(resources.ROUTES)
    asked = picker.start(stage.cluster, await way.made(resources.SERVERS, picker_name()))
    for number, host in enumerate(HOSTS):
        await way.pod(number, {"podIP": host, "podIPs": [{"ip": host}]})
    way.gateway = envoy.start(stage.cluster.processes, directory, route, asked)
    async with serving(way.engines, port), aiohttp.ClientSession() as way.session:
        await _probed(way)
        await _all_are_known(way)
        yield way


def picker_name() -> str:
    return f"{NAME}-picker"


async def _probed(way: Way) -> None:
    """The picker answers what its readiness probe asks: what Envoy has found out."""
    for _ in range(int(SECONDS)):
        await asyncio.sleep(1)
        with contextlib.suppress(aiohttp.ClientError):
            address = f"http://127.0.0.1:{way.gateway.admin_port}/clusters?format=json"
            async with way.session.get(address) as page:
                found = (await page.json(content_type=None))["cluster_statuses"]
            (probe,) = next(each for each in found if each["name"] == "probe")["host_statuses"]
            if not probe["health_status"].get("failed_active_health_check"):
                return
    raise AssertionError(f"the picker's probe is not answered\n{_logs(way)}")


async def _all_are_known(way: Way) -> None:
    """A request without a prompt may go anywhere: until both servers have had one."""
    seen: set[str] = set()
    for _ in range(int(SECONDS * 10)):
        async with way.asked("GET", "/v1/models") as answer:
            if answer.status == 200:
                seen.add((await answer.json())["host"])
        if seen == set(HOSTS):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"only {seen} answered\n{_logs(way)}")


def _logs(way: Way) -> str:
    logs = way.stage.cluster.processes.log
    return "\n".join(logs(name).read_text()[-3000:] for name in (picker.NAME, envoy.NAME))


async def _a_key(way: Way) -> None:
    """Of a stranger the server's refusal comes back as it is."""
    for key in ("", "another"):
        async with way.asked("POST", "/v1/chat/completions", _body("a", "b"), key=key) as answer:
            assert answer.status == 401
            assert (await answer.json())["error"]["message"] == "no such key"


async def _prefixes(way: Way) -> None:
    """One beginning goes to one server; other beginnings are shared out."""
    at: dict[str, set[str]] = defaultdict(set)
    for turn in range(TIMES):
        for number in range(PREFIXES):
            at[f"p{number}"].add(await way.chat(_prefix(f"p{number}"), f"question {turn}"))
    assert all(len(hosts) == 1 for hosts in at.values()), dict(at)
    assert set.union(*at.values()) == set(HOSTS), dict(at)


async def _a_queue(way: Way) -> None:
    """New beginnings go where nobody waits."""
    busy, idle = way.engines
    busy.waiting, busy.usage = 50, 0.9
    await asyncio.sleep(SEEN_SECONDS)
    hosts = [await way.chat(_prefix(f"q{number}"), "question") for number in range(6)]
    assert hosts == [idle.host] * 6
    busy.waiting, busy.usage = 0, 0.0
    await asyncio.sleep(SEEN_SECONDS)


async def _a_stream(way: Way) -> None:
    """An answer comes while the server is still at it."""
    body = _body(_prefix("s"), "question", stream=True)
    async with way.asked("POST", "/v1/chat/completions", body) as answer:
        first = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 10)
        host = json.loads(first.removeprefix(b"data: "))["host"]
        next(each for each in way.engines if each.host == host).begun.set()
        assert await answer.content.read() == b"data: [DONE]\n\n"


async def _not_ready(way: Way) -> None:
    """A server that is not ready gets nothing, whatever it has in its cache."""
    prefix = _prefix("p0")
    before = await way.chat(prefix, "before")
    number = HOSTS.index(before)
    pod = next(each for each in _servers(way.stage) if each["status"].get("podIP") == before)
    assert answers(pod)
    told = pod["status"]["conditions"]
    away = [{**c, "status": "False"} if c["type"] == "Ready" else c for c in told]
    await way.pod(number, {"conditions": away})
    await asyncio.sleep(SEEN_SECONDS)
    had = len(way.engines[number].asked)
    hosts = {await way.chat(_prefix(f"p{each}"), "meanwhile") for each in range(PREFIXES)}
    assert hosts == {HOSTS[1 - number]}
    assert len(way.engines[number].asked) == had
    await way.pod(number, {"conditions": told})
    await asyncio.sleep(SEEN_SECONDS)
    hosts = {await way.chat(_prefix(f"r{each}"), "again") for each in range(12)}
    assert hosts == set(HOSTS)


def test_requests_go_where_their_beginning_is_in_a_cache(tmp_path: Path) -> None:
    asyncio.run(_life(tmp_path))
