"""GPUs that are claimed: real API server, scheduler and controllers; node and devices are played.

Behind KServe its own controllers make the pods, so what they leave of a claim is seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.bench.rollout import NAMESPACE, Stage
from tests.bench.rollout_cases import NAME
from tests.support import builders, dra, lws
from tests.support.cluster import Cluster
from tests.support.kserve import controller, manager
from tests.support.onlooker import Onlooker
from tests.support.played_node import NAME as NODE
from tests.support.ready_copy import COPY

from llama_operator.reconcile import resources
from llama_operator.render.devices import CLAIM

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]
Object = dict[str, Any]
CARDS, OTHERS = 5, 2
Held = dict[str, tuple[str, ...]]


async def _offer(stage: Stage) -> None:
    """A class, cards of the planned product on the node, and others of the same class."""
    await stage.api.create(resources.DEVICE_CLASSES, dra.CLASS)
    cards = builders.resource_slice(NODE, CARDS)
    others = builders.resource_slice(NODE, OTHERS, product="NVIDIA L4")
    others["metadata"]["name"], others["spec"]["pool"]["name"] = "others", "others"
    for each in (cards, others):
        await stage.api.create(resources.DEVICE_SLICES, each)


async def _deploy(stage: Stage, **spec: Any) -> None:
    wish = {"weightsRef": {"name": COPY}, "auth": {"mode": "None"}, **spec}
    wish.setdefault("gpu", {"count": 1, "deviceClassName": dra.NAME})
    raw = builders.deployment(NAME, **wish)
    raw["metadata"] = {"name": NAME, "namespace": NAMESPACE}
    await stage.api.create(resources.DEPLOYMENTS, raw)


async def _all(stage: Stage, kind: Any) -> list[Object]:
    return list(await stage.api.list(kind, namespace=NAMESPACE))


async def _templates(stage: Stage) -> set[str]:
    return {each["metadata"]["name"] for each in await _all(stage, resources.CLAIM_TEMPLATES)}


async def _held(stage: Stage) -> Held:
    """Name of each pod -> the devices that the scheduler gave it."""
    found = {}
    for claim in await _all(stage, resources.DEVICE_CLAIMS):
        status = claim.get("status", {})
        results = status.get("allocation", {}).get("devices", {}).get("results", ())
        for pod in status.get("reservedFor", ()):
            found[pod["name"]] = tuple(f"{each['pool']}/{each['device']}" for each in results)
    return found


async def _comes(what: str, check: Callable[[], Any]) -> None:
    for _ in range(600):
        if await check():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{what} did not come")


async def _life(directory: Path) -> None:
    async with Stage.made(directory) as stage:
        seen = Onlooker(stage)
        await stage.node.gives(0)
        await _deploy(stage)
        missing = "DependencyMissing"
        await seen.comes("no class", lambda: seen.condition("Degraded").get("reason") == missing)
        assert await _templates(stage) == set()
        await _offer(stage)
        await seen.is_ready(1)
        (first,) = await _templates(stage)
        generation = await seen.change(replicas=2)
        await seen.is_ready(generation)
        held = await _held(stage)
        assert set(held) == set(seen.pods())
        assert len({device for each in held.values() for device in each}) == 2
        await _another_count(seen, first)
        await _another_flag(seen)
        await _no_device_left(seen)
        await _deleted(seen)


async def _another_count(seen: Onlooker, first: str) -> None:
    """Three of five cards are free, so one new server of two starts before an old one stops."""
    before = set(seen.pods())
    generation = await seen.change(gpu={"count": 2})
    await seen.is_ready(generation)
    rollout = seen.status["rollout"]
    assert (rollout["strategy"], rollout["freeGPUs"]) == ("Surge", CARDS - 2)
    held = await _held(seen.stage)
    assert not before & set(seen.pods())
    assert [len(held[name]) for name in seen.pods()] == [2, 2]
    given = {device for name in seen.pods() for device in held[name]}
    assert {each.split("/")[0] for each in given} == {NODE}, "never a card of the other product"

    async def one() -> bool:
        return len(await _templates(seen.stage)) == 1

    await _comes("the end of the old template", one)
    assert first not in await _templates(seen.stage)


async def _another_flag(seen: Onlooker) -> None:
    """One of five is free and a server needs two; the template stays."""
    before = await _templates(seen.stage)
    generation = await seen.change(engine={"args": ["--seed=1"]})
    await seen.is_ready(generation)
    rollout = seen.status["rollout"]
    assert (rollout["strategy"], rollout["freeGPUs"]) == ("InPlace", CARDS - 4)
    assert await _templates(seen.stage) == before


async def _no_device_left(seen: Onlooker) -> None:
    """The third server would need two, of which the other product has enough."""
    await seen.change(replicas=3)

    def said() -> bool:
        told = seen.condition("Degraded")
        return told.get("reason") == "Unschedulable" and "deviceClassName" in told["message"]

    await seen.comes("that no device is left", said)


async def _deleted(seen: Onlooker) -> None:
    await seen.stage.api.delete(resources.DEPLOYMENTS, NAMESPACE, NAME)

    async def gone() -> bool:
        left = [*await _all(seen.stage, resources.DEVICE_CLAIMS), *await _templates(seen.stage)]
        return not left

    await _comes("the end of claims and templates", gone)


def test_servers_claim_are_replaced_by_what_is_free_and_leave_nothing(tmp_path: Path) -> None:
    asyncio.run(_life(tmp_path))


async def _by_groups(directory: Path) -> None:
    async with Stage.made(directory) as stage:
        seen = Onlooker(stage)
        await stage.node.gives(0)
        await asyncio.to_thread(lws.install, stage.cluster, directory)
        await _offer(stage)
        sizing = {"tensorParallel": 4, "pipelineParallel": 1, "nodes": 2}
        await _deploy(stage, sizing=sizing, gpu={"count": 4, "deviceClassName": dra.NAME})
        await seen.is_ready(1)
        (template,) = await _templates(stage)
        held = await _held(stage)
        assert set(held) == set(seen.pods()) == {f"{NAME}-0", f"{NAME}-0-1"}
        assert [len(devices) for devices in held.values()] == [2, 2], "those of one node each"
        for pod in await _all(stage, resources.PODS):
            (claim,) = pod["spec"]["resourceClaims"]
            assert claim["resourceClaimTemplateName"] == template
        await _deleted(seen)


def test_each_rank_of_a_group_claims_those_of_its_node(tmp_path: Path) -> None:
    asyncio.run(_by_groups(tmp_path))


async def _behind(directory: Path, resource: str, install: Callable[[Cluster, Path], None]) -> None:
    async with Stage.made(directory) as stage:
        seen = Onlooker(stage)
        await stage.node.gives(0)
        await asyncio.to_thread(install, stage.cluster, directory)
        await _offer(stage)
        await _deploy(stage, backend="kserve", kserve={"resource": resource})
        await seen.comes("a server", lambda: seen.status.get("readyReplicas") == 1)
        (template,) = await _templates(stage)
        (pod,) = await _all(stage, resources.PODS)
        (claim,) = pod["spec"]["resourceClaims"]
        assert claim["resourceClaimTemplateName"] == template
        (engine,) = pod["spec"]["containers"]
        assert engine["resources"]["claims"] == [{"name": CLAIM}]
        assert len((await _held(stage))[pod["metadata"]["name"]]) == 1
        await _deleted(seen)


@pytest.mark.parametrize(
    ("resource", "install"),
    [("InferenceService", manager.install), ("LLMInferenceService", controller.install)],
)
def test_kserve_leaves_the_claims_of_its_pods(
    tmp_path: Path, resource: str, install: Callable[[Cluster, Path], None]
) -> None:
    asyncio.run(_behind(tmp_path, resource, install))
