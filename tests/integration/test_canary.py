"""A revision that is tried beside servers that stay: API server, controllers and Gateway API are real.

Only the node and what runs on it are played, and nothing plays a Gateway: where requests go is read
from the route and from the selectors of the two Services.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.bench.rollout import NAMESPACE, Stage
from tests.bench.rollout_cases import NAME
from tests.support import builders, gateway
from tests.support.onlooker import Onlooker
from tests.support.played_node import BAD_FLAG, answers
from tests.support.ready_copy import COPY
from tests.support.stack import OPERATOR, Stack

from llama_operator.api import labels
from llama_operator.reconcile import resources

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(400)]
Object = dict[str, Any]
CANARY = f"{NAME}-canary"
PARENT: Object = {"name": "public", "namespace": NAMESPACE}


class Trial(Onlooker):
    """What is asked of the world while revisions of one deployment are tried."""

    def of(self, component: str) -> dict[str, str]:
        """Name -> UID of pods that are there to stay."""
        found = self.stage.node.pods.store.list(NAMESPACE)
        own = [each for each in found if each["metadata"]["labels"][labels.COMPONENT] == component]
        metas = [each["metadata"] for each in own]
        return {m["name"]: m["uid"] for m in metas if not m.get("deletionTimestamp")}

    @property
    def servers(self) -> dict[str, str]:
        return self.of(labels.SERVER)

    @property
    def tried(self) -> dict[str, str]:
        return self.of(labels.TRIED)

    def ready(self) -> int:
        found = self.stage.node.pods.store.list(NAMESPACE)
        return sum(answers(each) for each in found if each["metadata"]["name"] in self.servers)

    def says(self, reason: str, words: str) -> bool:
        told = self.condition("Progressing")
        return told.get("reason") == reason and words in told["message"]

    async def shares(self, **wanted: int) -> None:
        """Until the route leads there, with these weights; `canary` for that Service."""
        names = {NAME if name == "servers" else CANARY: share for name, share in wanted.items()}
        seen: Object = {}
        for _ in range(300):
            route = await self.stage.api.get(resources.ROUTES, NAMESPACE, NAME)
            backends = route["spec"]["rules"][0]["backendRefs"]
            seen = {each["name"]: each["weight"] for each in backends}
            if seen == names:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{seen}, not {names}\n{self.status}")

    async def selects(self, service: str) -> set[str]:
        """Pods that a Service is of, by the API server's word; no address of theirs is played."""
        found = await self.stage.api.get(resources.SERVICES, NAMESPACE, service)
        labelled = ",".join(f"{key}={value}" for key, value in found["spec"]["selector"].items())
        pods = await self.stage.api.list(resources.PODS, NAMESPACE, label_selector=labelled)
        metas = [each["metadata"] for each in pods]
        return {meta["name"] for meta in metas if not meta.get("deletionTimestamp")}

    async def no_canary(self) -> None:
        await self.comes("no pod of a canary", lambda: not self.tried)
        for kind in (resources.SERVERS, resources.SERVICES):
            await self.absent(kind, CANARY)


async def _life(directory: Path) -> None:
    async with Stage.made(directory) as stage:
        await asyncio.to_thread(gateway.define, stage.cluster, gateway.GATEWAYS, gateway.ROUTES)
        await stage.node.gives(3)
        listener = {"name": "web", "port": 80, "protocol": "HTTP"}
        made = {"gatewayClassName": "played", "listeners": [listener]}
        kind = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway"}
        await stage.api.create(resources.GATEWAYS, {**kind, "metadata": PARENT, "spec": made})
        raw = builders.deployment(
            NAME,
            weightsRef={"name": COPY},
            auth={"mode": "None"},
            replicas=2,
            endpoint={"httpRoute": {"parentRefs": [PARENT]}},
            rollout={"canaryPercent": 20},
        )
        raw["metadata"] = {"name": NAME, "namespace": NAMESPACE}
        await stage.api.create(resources.DEPLOYMENTS, raw)
        seen = Trial(stage)
        await seen.is_ready(1)
        await seen.no_canary()
        for part in (_tried, _restarted, _undone, _rejected, _without_room, _promoted, _deleted):
            await part(seen)


async def _seed(seen: Trial, number: int) -> None:
    """Another revision is tried, until it answers."""
    await seen.change(engine={"args": [f"--seed={number}"]})
    await seen.comes("its share", lambda: seen.says("RollingOut", "answers, and gets"))


async def _tried(seen: Trial) -> None:
    before = seen.servers
    await _seed(seen, 1)
    await seen.shares(servers=80, canary=20)
    assert len(seen.tried) == 1
    assert await seen.selects(NAME) == set(before)
    assert await seen.selects(CANARY) == set(seen.tried)
    canary = seen.tried
    await seen.change(rollout={"canaryPercent": 60}, podMetadata={"labels": {"team": "a"}})
    await seen.shares(servers=40, canary=60)
    assert (seen.servers, seen.tried) == (before, canary), "a share restarts nothing"
    await seen.comes("labels on all", lambda: _labelled(seen) == {*before, *canary})
    (name,) = canary
    await seen.stage.api.delete(resources.PODS, NAMESPACE, name)
    await seen.shares(servers=1)
    await seen.shares(servers=40, canary=60)
    assert seen.servers == before


def _labelled(seen: Trial) -> set[str]:
    found = (each["metadata"] for each in seen.stage.node.pods.store.list(NAMESPACE))
    return {meta["name"] for meta in found if meta["labels"].get("team") == "a"}


async def _restarted(seen: Trial) -> None:
    """Without an operator all goes on, and the next one goes on from there."""
    before, stack = (seen.servers, seen.tried), Stack(seen.stage.cluster)
    await asyncio.to_thread(stack.stop, OPERATOR)
    await seen.change(rollout={"canaryPercent": 30})
    await asyncio.to_thread(stack.start_operator, "https://hub.invalid")
    await seen.shares(servers=70, canary=30)
    assert (seen.servers, seen.tried) == before


async def _undone(seen: Trial) -> None:
    before, good = seen.servers, seen.status["revision"]["lastGood"]
    generation = await seen.change(rollout={"undoTo": good})
    await seen.is_ready(generation)
    await seen.shares(servers=1)
    await seen.no_canary()
    generation = await seen.change(rollout={"undoTo": None}, engine=None)
    await seen.is_ready(generation)
    assert seen.servers == before


async def _rejected(seen: Trial) -> None:
    before = seen.servers
    await seen.change(engine={"args": [BAD_FLAG]})
    await seen.comes("the verdict", lambda: seen.says("RevisionRejected", BAD_FLAG))
    await seen.shares(servers=1)
    await seen.no_canary()
    await seen.change(rollout={"canaryPercent": 0})
    await asyncio.sleep(1)
    assert seen.servers == before, "nor is it rolled out to all"
    generation = await seen.change(rollout={"canaryPercent": 20}, engine=None)
    await seen.is_ready(generation)
    assert seen.servers == before


async def _without_room(seen: Trial) -> None:
    before = seen.servers
    await seen.stage.node.gives(2)
    await seen.change(engine={"args": ["--seed=2"]})
    await seen.comes("why not", lambda: seen.says("WaitingForGPUs", "needs 1 free GPU beside"))
    generation = await seen.change(engine=None)
    await seen.is_ready(generation)
    await seen.stage.node.gives(3)
    await seen.no_canary()
    assert seen.servers == before


async def _promoted(seen: Trial) -> None:
    before = seen.servers
    await _seed(seen, 3)
    counts: list[int] = []
    seen.stage.node.pods.add_handler(lambda *_: counts.append(seen.ready()))
    generation = await seen.change(rollout={"canaryPercent": 0})
    await seen.is_ready(generation)
    await seen.shares(servers=1)
    await seen.no_canary()
    assert not set(seen.servers.values()) & set(before.values())
    assert seen.status["rollout"]["strategy"] == "Surge", "the canary has left its GPU"
    assert min(counts) >= 2
    assert await seen.selects(NAME) == set(seen.servers)
    told = seen.status["revision"]
    assert told["current"] == told["update"] == told["lastGood"]


async def _deleted(seen: Trial) -> None:
    await seen.change(rollout={"canaryPercent": 20})
    await _seed(seen, 4)
    await seen.stage.api.delete(resources.DEPLOYMENTS, NAMESPACE, NAME)
    await seen.comes("all pods to go", lambda: not seen.stage.node.pods.store.list(NAMESPACE))
    await seen.no_canary()
    await seen.stage.gone()


def test_revisions_are_tried_beside_servers_that_stay(tmp_path: Path) -> None:
    asyncio.run(_life(tmp_path))
