"""What a deployment is in the middle of when it is deleted: its spec, and when that is so."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.bench.rollout import NAMESPACE, VOLUMES, Stage
from tests.bench.rollout_cases import NAME
from tests.support import gateway, kserve, lws
from tests.support.cluster import Cluster
from tests.support.kserve.standin import StandIn
from tests.support.onlooker import Onlooker
from tests.support.ready_copy import READY

from llama_operator.api import labels
from llama_operator.reconcile import resources
from llama_operator.runtime.resource import Resource

Object = dict[str, Any]
World = Callable[[Stage], AbstractAsyncContextManager[None]]
FOR_EVER = 3600.0
TWO = {"tensorParallel": 8, "pipelineParallel": 1, "nodes": 2}
HUB = {"name": "sql", "source": {"huggingFace": {"repo": "o/sql"}}}
LOW = {"rank": 8, "base": "", "layers": 32, "modules": []}
ROUTE = {"parentRefs": [{"name": "public", "namespace": NAMESPACE}], "hostnames": ["llama.example"]}


async def _no_more(_: Onlooker) -> None:
    """It is in the middle already."""


@contextlib.asynccontextmanager
async def _as_it_is(_: Stage) -> AsyncIterator[None]:
    yield


@dataclass(frozen=True)
class Case:
    """A spec, what is done to it, and what is there in the middle of that.

    Servers are ready before the change; without a change they never are.
    """

    name: str
    spec: Object
    # Name and kind of what is there in the middle, beside pods.
    made: tuple[tuple[Resource, str], ...]
    # Components of pods that are in the middle of something.
    pods: frozenset[str] = frozenset({labels.SERVER})
    change: Object = field(default_factory=dict)
    gpus: int = 4
    then: Callable[[Onlooker], Awaitable[None]] = _no_more
    world: World = _as_it_is
    define: Callable[[Cluster, Path], None] = lambda _cluster, _directory: None

    async def middle(self, seen: Onlooker) -> None:
        """Until it is in the middle."""
        if self.change:
            await seen.is_ready(1)
            seen.stage.node.load_seconds = FOR_EVER
            await seen.change(**self.change)
        await seen.comes(f"pods of {set(self.pods)}", lambda: self.pods <= _components(seen))
        for kind, name in self.made:
            assert await seen.stage.api.get(kind, NAMESPACE, name)
        await self.then(seen)


def _components(seen: Onlooker) -> set[str]:
    """Of pods that are on the node and neither answer nor have ended."""
    pods = seen.stage.node.pods.store.list(NAMESPACE)
    return {each["metadata"]["labels"].get(labels.COMPONENT, "") for each in pods if _begins(each)}


def _begins(pod: Object) -> bool:
    status, meta = pod.get("status", {}), pod["metadata"]
    boxes = status.get("containerStatuses", ())
    waits = status.get("phase") in ("Pending", "Running") and not any(b["ready"] for b in boxes)
    return waits and not meta.get("deletionTimestamp")


# -- several nodes, KServe ------------------------------------------------------------------------


def _groups(cluster: Cluster, directory: Path) -> None:
    lws.install(cluster, directory)


def _kserve(cluster: Cluster, _: Path) -> None:
    kserve.define(cluster)


@contextlib.asynccontextmanager
async def _played_kserve(stage: Stage) -> AsyncIterator[None]:
    async with StandIn.running(stage.api, NAMESPACE):
        yield


# -- the rest -------------------------------------------------------------------------------------


def _gateways(cluster: Cluster, _: Path) -> None:
    gateway.define(cluster, gateway.GATEWAYS, gateway.ROUTES, gateway.POOLS)


@contextlib.asynccontextmanager
async def _a_volume(stage: Stage) -> AsyncIterator[None]:
    """For the claim of adapters."""
    spec = {
        "accessModes": ["ReadWriteMany"],
        "capacity": {"storage": "20Gi"},
        "storageClassName": "none",
        "hostPath": {"path": "/nowhere"},
        "claimRef": {"namespace": NAMESPACE, "name": f"{NAME}-adapters"},
    }
    # A name for each time: the one before may still be on its way out.
    made = await stage.api.create(
        VOLUMES, {"metadata": {"generateName": "adapters-"}, "spec": spec}
    )
    yield
    await stage.api.delete(VOLUMES, None, made["metadata"]["name"])


async def _to_be_loaded(seen: Onlooker) -> None:
    """The adapter has been fetched, and servers are told to load it."""
    api, place = seen.stage.api, "sql/0123456789abcdef"
    (copy,) = [
        each["metadata"]["name"]
        for each in await api.list(resources.WEIGHTS, NAMESPACE)
        if each["spec"].get("adapter")
    ]
    status = {**READY, "claimName": f"{NAME}-adapters", "path": place, "adapter": LOW}
    await api.patch(resources.WEIGHTS, NAMESPACE, copy, {"status": status}, subresource="status")
    for _ in range(300):
        listed = await api.get(resources.CONFIG_MAPS, NAMESPACE, f"{NAME}-adapters")
        if json.loads(listed["data"]["adapters.json"]) == {"sql": place}:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"servers are not told\n{seen.status}")


_ADAPTER = Case(
    "an adapter that is fetched",
    {"lora": {"enabled": True}},
    ((resources.CLAIMS, f"{NAME}-adapters"), (resources.CONFIG_MAPS, f"{NAME}-adapters")),
    frozenset({labels.PREFLIGHT}),
    change={"adapters": [HUB]},
    world=_a_volume,
)
CASES = (
    Case(
        "several nodes",
        {"replicas": 2, "sizing": TWO},
        ((resources.GROUPS, NAME),),
        frozenset({labels.SERVER, labels.WORKER}),
        change={"engine": {"args": ["--seed=1"]}},
        gpus=16,
        define=_groups,
    ),
    Case(
        "KServe",
        {"backend": "kserve"},
        ((resources.INFERENCES, NAME), (resources.SERVERS, f"{NAME}-predictor")),
        change={"engine": {"args": ["--seed=1"]}},
        world=_played_kserve,
        define=_kserve,
    ),
    Case(
        "a start from zero",
        {"replicas": 0, "autoscaling": {"minReplicas": 0, "maxReplicas": 2}},
        ((resources.SERVERS, f"{NAME}-activator"),),
        change={"replicas": 1},
    ),
    _ADAPTER,
    replace(_ADAPTER, name="an adapter that is loaded", then=_to_be_loaded),
    Case(
        "routes with a picker",
        {"endpoint": {"httpRoute": ROUTE, "routing": "PrefixAware"}},
        ((resources.POOLS, NAME), (resources.ROUTES, NAME)),
        frozenset({labels.SERVER, labels.PICKER}),
        define=_gateways,
    ),
    Case(
        "an image that is brought",
        {"replicas": 2},
        (),
        frozenset({labels.PULL}),
        change={"engine": {"image": "example.com/vllm:v9", "vllmVersion": "0.24.0"}},
        gpus=2,
    ),
)
