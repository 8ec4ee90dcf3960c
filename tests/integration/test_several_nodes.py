"""Servers over several nodes: the real LeaderWorkerSet, scheduler and controllers; one played node.

Two groups of two pods of four GPUs each on a node of sixteen. That two pods of a group are on one node
is no matter: what is asked here is who makes them, replaces them together, and takes them away.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.bench.rollout import NAMESPACE, Stage
from tests.bench.rollout_cases import NAME
from tests.support import builders, lws
from tests.support.onlooker import Onlooker
from tests.support.played_node import answers
from tests.support.ready_copy import COPY

from llama_operator.reconcile import resources
from llama_operator.reconcile.groups import INSTALL

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
Object = dict[str, Any]


def spec(nodes: int, **more: Any) -> Object:
    sizing = {"tensorParallel": 4 * nodes, "pipelineParallel": 1, "nodes": nodes}
    return builders.deployment(
        NAME, weightsRef={"name": COPY}, replicas=2, auth={"mode": "None"}, sizing=sizing, **more
    )


async def _life(directory: Path) -> None:
    async with Stage.made(directory) as stage:
        groups = Onlooker(stage)
        await stage.node.gives(16)
        raw = {**spec(2), "metadata": {"name": NAME, "namespace": NAMESPACE}}
        await stage.api.create(resources.DEPLOYMENTS, raw)
        await _missing(groups)
        await asyncio.to_thread(lws.install, stage.cluster, directory)
        await groups.is_ready(1)
        await _served_by_first_ranks(groups)
        await _a_lost_rank_replaces_its_group(groups)
        await _flags_change_in_place(groups)
        await _one_node_and_back(groups)
        await _deleted_in_the_middle(groups)


async def _missing(groups: Onlooker) -> None:
    await groups.comes(
        "DependencyMissing", lambda: groups.condition("Degraded").get("status") == "True"
    )
    told = groups.condition("Degraded")
    assert told["reason"] == "DependencyMissing"
    assert INSTALL in told["message"]
    assert groups.condition("Ready")["reason"] == "DependencyMissing"
    assert groups.pods() == {}


async def _served_by_first_ranks(groups: Onlooker) -> None:
    status = groups.status
    assert set(groups.pods()) == {"web-0", "web-0-1", "web-1", "web-1-1"}
    counts = [status[name] for name in ("replicas", "readyReplicas", "updatedReplicas")]
    assert counts == [2, 2, 2]
    assert status["plan"]["nodes"] == 2
    service = await groups.stage.api.get(resources.SERVICES, NAMESPACE, NAME)
    for selector in (service["spec"]["selector"], _parsed(status["selector"])):
        assert _selected(groups, selector) == {"web-0", "web-1"}
    args = _of(groups, "web-1-1")["spec"]["containers"][0]
    env = {each["name"]: each.get("value") for each in args["env"]}
    assert (env["LWS_WORKER_INDEX"], env["LWS_LEADER_ADDRESS"]) == ("1", f"web-1.web-1.{NAMESPACE}")
    assert {"--headless", "--nnodes=2", "--node-rank=$(LWS_WORKER_INDEX)"} <= set(args["args"])


def _parsed(selector: str) -> Object:
    return dict(each.split("=", 1) for each in selector.split(","))


def _selected(groups: Onlooker, selector: Object) -> set[str]:
    found = (_of(groups, name)["metadata"] for name in groups.pods())
    return {meta["name"] for meta in found if selector.items() <= meta["labels"].items()}


def _of(groups: Onlooker, name: str) -> Object:
    return dict(groups.stage.node.pods.store.get(NAMESPACE, name) or {})


async def _a_lost_rank_replaces_its_group(groups: Onlooker) -> None:
    before, node = groups.pods(), groups.stage.node
    told: list[str] = []
    groups.stage.deployments.add_handler(
        lambda *_: told.append(groups.condition("Degraded").get("reason", ""))
    )
    # As long as a group of real servers takes: else it may be there again before it is looked at.
    usual, node.load_seconds = node.load_seconds, 3.0
    await groups.stage.api.delete(resources.PODS, NAMESPACE, "web-0-1", uid=before["web-0-1"])

    def back() -> bool:
        now, ready = groups.pods(), groups.condition("Ready").get("status") == "True"
        anew = set(now) == set(before) and now["web-0-1"] != before["web-0-1"]
        return anew and ready and all(answers(_of(groups, name)) for name in now)

    await groups.comes("the group again", back)
    node.load_seconds, now = usual, groups.pods()
    assert now["web-0"] != before["web-0"], "the first rank of the group started anew as well"
    assert {name: now[name] for name in ("web-1", "web-1-1")} == {
        name: before[name] for name in ("web-1", "web-1-1")
    }
    assert "RankLost" in told
    assert groups.condition("Degraded")["status"] == "False"


async def _flags_change_in_place(groups: Onlooker) -> None:
    before = groups.pods()
    await groups.is_ready(await groups.change(engine={"args": ["--seed=7"]}))
    assert set(groups.pods()) == set(before)
    assert not set(groups.pods().values()) & set(before.values())
    told = groups.status["rollout"]
    assert (told["strategy"], told["freeGPUs"]) == ("InPlace", 0)
    assert "0 of 16 GPUs are free and a server needs 8" in told["reason"]


async def _one_node_and_back(groups: Onlooker) -> None:
    one = {"tensorParallel": 4, "pipelineParallel": 1, "nodes": 1}
    await groups.is_ready(await groups.change(sizing=one))
    assert await groups.there(resources.SERVERS)
    assert not await groups.there(resources.GROUPS)
    assert groups.status["rollout"]["strategy"] == "Swap"
    two = {"tensorParallel": 8, "pipelineParallel": 1, "nodes": 2}
    await groups.stage.node.gives(24)
    await groups.is_ready(await groups.change(sizing=two))
    assert await groups.there(resources.GROUPS)
    assert not await groups.there(resources.SERVERS)
    assert groups.status["rollout"]["strategy"] == "Surge"
    await groups.comes("only groups", lambda: len(groups.pods()) == 4)


async def _deleted_in_the_middle(groups: Onlooker) -> None:
    await groups.change(engine={"args": ["--seed=8"]})
    await groups.stage.api.delete(resources.DEPLOYMENTS, NAMESPACE, NAME)
    await groups.comes("nothing", lambda: not groups.stage.node.pods.store.list(NAMESPACE))
    for kind in (resources.GROUPS, resources.SERVICES, resources.POLICIES):
        assert not await groups.there(kind), kind.kind


def test_groups_are_made_replaced_and_removed_together(tmp_path: Path) -> None:
    asyncio.run(_life(tmp_path))
