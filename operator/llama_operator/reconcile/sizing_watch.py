"""Looks at what servers count, once a minute, and says when a verdict on a deployment changes.

Asked are the servers themselves, not the API server and no Prometheus: a cluster may have none, and
the NetworkPolicy of a deployment lets the operator in. At most a few servers of each deployment,
so many at a time, one round after the other: in a large fleet a round takes longer, and the load
does not grow. What cannot be read tells nothing; nothing is ever changed for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Protocol

import aiohttp

from llama_operator.reconcile import sets, sizing
from llama_operator.reconcile.holders import answers
from llama_operator.reconcile.sizing import Sized, Verdict
from llama_operator.reconcile.sizing_window import Look, Looks, read
from llama_operator.render.flags import listening_port
from llama_operator.runtime.clock import Clock
from llama_operator.runtime.resource import Key
from llama_operator.runtime.slices import slices

Object = dict[str, Any]
Fetch = Callable[[str], Any]

ROUND_SECONDS = 60.0
PODS_EACH = 4
AT_ONCE = 8
# Deployments whose addresses are looked up together: seconds later a pod may have gone.
SLICE = 100
# A server answers in milliseconds; eight at once that do not answer cost four looks a second.
SECONDS = 2.0
PAGE_BYTES = 4 << 20

log = logging.getLogger(__name__)


class Fleet(Protocol):
    """What the caches know of deployments and their pods."""

    def serving(self) -> Iterable[Object]:
        """All deployments."""

    def pods_of(self, kind: str, namespace: str, name: str) -> tuple[Object, ...]:
        """The pods of one."""


class SizingWatch:
    """Windows of all deployments, and the verdict on each by its UID."""

    def __init__(
        self, fleet: Fleet, clock: Clock, leads: Callable[[], bool] = lambda: True
    ) -> None:
        self._fleet, self._clock, self._leads = fleet, clock, leads
        self._windows: dict[tuple[str, int], Looks] = {}
        self._verdicts: dict[tuple[str, int], Verdict] = {}

    def verdict(self, raw: Object) -> Verdict | None:
        """On this generation of a deployment; what its status says where nothing newer is known."""
        return self._verdicts.get(sizing.identity(raw)) or sizing.told(raw)

    async def run(self, changed: Callable[[Key], None]) -> None:
        """For ever: one round a minute, while this process leads. `changed` is told of verdicts."""
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        # No proxy of the operator's stands between it and a pod.
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            while True:
                await self._clock.sleep(ROUND_SECONDS)
                if self._leads():
                    for key in await self.round(lambda url: page(session, url)):
                        changed(key)

    async def round(self, fetch: Fetch) -> list[Key]:
        """One look at every deployment that serves; those whose verdict is another now."""
        present: set[tuple[str, int]] = set()
        news: list[Key] = []
        async for some in slices(self._fleet.serving(), SLICE):
            present.update(map(sizing.identity, some))
            asked = [(raw, urls) for raw in some if (urls := self._addresses(raw))]
            news += [key async for key in self._asked(asked, fetch)]
        self._forget(present)
        return news

    def _addresses(self, raw: Object) -> dict[str, str]:
        # What is tried of another spec says nothing of the size of this one.
        return addresses(raw, sets.firsts(self._fleet.pods_of("LlamaDeployment", *_key(raw))))

    async def _asked(
        self, some: list[tuple[Object, dict[str, str]]], fetch: Fetch
    ) -> AsyncIterator[Key]:
        """Keys of those whose verdict is another now; most of a fleet may have no server to ask."""
        room = asyncio.Semaphore(AT_ONCE)
        async for few in slices(some, AT_ONCE):
            found = await asyncio.gather(*(self._look(*each, fetch, room) for each in few))
            for (raw, _), other in zip(few, found, strict=True):
                if other:
                    yield _key(raw)

    def _forget(self, present: set[tuple[str, int]]) -> None:
        for known in (self._windows, self._verdicts):
            for gone in known.keys() - present:
                del known[gone]

    async def _look(
        self, raw: Object, urls: dict[str, str], fetch: Fetch, room: asyncio.Semaphore
    ) -> bool:
        async def one(url: str) -> Look | None:
            async with room:
                text = await fetch(url)
            return read(text) if text else None

        found = await asyncio.gather(*(one(url) for url in urls.values()))
        looks = {pod: each for pod, each in zip(urls, found, strict=True) if each}
        return self._judge(raw, looks)

    def _judge(self, raw: Object, looks: dict[str, Look]) -> bool:
        window = self._windows.setdefault(sizing.identity(raw), Looks())
        window.add(looks)
        before, seen = self.verdict(raw), window.window
        verdict = sizing.judge(seen, sized(raw), before) if seen else before
        if verdict is None or verdict == before:
            return False
        self._verdicts[sizing.identity(raw)] = verdict
        log.info("%s: %s", _key(raw), verdict.reason)
        return True


def addresses(raw: Object, pods: Iterable[Object]) -> dict[str, str]:
    """URL of the metrics of servers that answer, by the UID of the pod."""
    port = listening_port(int(raw["spec"].get("endpoint", {}).get("port", 8000)))
    ready = sorted(
        (pod["metadata"]["uid"], pod["status"]["podIP"])
        for pod in pods
        if answers(pod) and pod.get("status", {}).get("podIP")
    )
    return {
        uid: f"http://{f'[{ip}]' if ':' in ip else ip}:{port}/metrics"
        for uid, ip in ready[:PODS_EACH]
    }


def sized(raw: Object) -> Sized:
    """What a deployment has, by its spec and plan."""
    spec, plan = raw["spec"], raw.get("status", {}).get("plan", {})
    card = plan.get("perGpu", {})
    rest = ("activationBytes", "cudaGraphBytes", "otherBytes", "freeBytes")
    dtype = spec.get("sizing", {}).get("kvCacheDtype", "auto")
    cpu = spec.get("engine", {}).get("device", "cuda") == "cpu"
    return Sized(
        replicas=int(spec.get("replicas", 1)),
        max_replicas=int((spec.get("autoscaling") or {}).get("maxReplicas", 0)),
        gpus=int(plan.get("gpus", 0)),
        tensor_parallel=int(plan.get("tensorParallel", 1)),
        max_num_seqs=int(plan.get("maxNumSeqs", 0)),
        kv_bytes=int(card.get("kvCacheBytes", 0)),
        weights_bytes=int(card.get("weightsBytes", 0)),
        rest_bytes=sum(int(card.get(name, 0)) for name in rest),
        fp8=dtype == "fp8" or cpu,
    )


async def page(session: aiohttp.ClientSession, url: str) -> str:
    """The metrics of one server; "" where they cannot be read."""
    try:
        async with session.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                return ""
            body = await answer.content.read(PAGE_BYTES)
            while len(body) < PAGE_BYTES and (more := await answer.content.read(PAGE_BYTES)):
                body += more
            return body[:PAGE_BYTES].decode(errors="replace")
    except (aiohttp.ClientError, TimeoutError, OSError):
        return ""


def _key(raw: Object) -> Key:
    return Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
