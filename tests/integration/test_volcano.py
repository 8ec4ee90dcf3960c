"""Servers over several nodes as gangs: the real Volcano places all ranks of one or none of them.

Volcano, LeaderWorkerSet, API server, controllers and the operator are real; the node is played. It has
GPUs for one server and a half.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.bench.rollout import NAMESPACE, Stage
from tests.bench.rollout_cases import NAME
from tests.support import builders, lws, volcano
from tests.support.onlooker import Onlooker
from tests.support.ready_copy import COPY

from llama_operator.reconcile import resources
from llama_operator.runtime import Resource

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]
Object = dict[str, Any]
GANGS = Resource("scheduling.volcano.sh", "v1beta1", "podgroups", "PodGroup")
FIRST, SECOND = {"web-0", "web-0-1"}, {"web-1", "web-1-1"}
QUIET_SECONDS = 5.0


async def _life(directory: Path) -> None:
    async with Stage.made(directory) as stage:
        groups = Onlooker(stage)
        await stage.node.gives(12)
        await asyncio.to_thread(volcano.install, stage.cluster, directory)
        await asyncio.to_thread(lws.install, stage.cluster, directory, volcano.NAME)
        await _made(stage)
        await _all_ranks_or_none(groups)
        await stage.node.gives(16)
        await groups.is_ready(1)
        await _replaced(groups)
        await stage.api.delete(resources.DEPLOYMENTS, NAMESPACE, NAME)
        await groups.comes("no pods", lambda: not groups.pods())


async def _made(stage: Stage) -> None:
    raw = builders.deployment(
        NAME,
        weightsRef={"name": COPY},
        replicas=2,
        auth={"mode": "None"},
        sizing={"tensorParallel": 8, "pipelineParallel": 1, "nodes": 2},
        scheduling={"schedulerName": volcano.NAME},
    )
    raw["metadata"] = {"name": NAME, "namespace": NAMESPACE}
    await stage.api.create(resources.DEPLOYMENTS, raw)


def _placed(groups: Onlooker) -> set[str]:
    found = groups.stage.node.pods.store.list(NAMESPACE)
    return {pod["metadata"]["name"] for pod in found if pod["spec"].get("nodeName")}


async def _all_ranks_or_none(groups: Onlooker) -> None:
    await groups.comes("all pods", lambda: set(groups.pods()) == FIRST | SECOND)
    await groups.comes("one server", lambda: groups.status.get("readyReplicas") == 1)
    await groups.comes(
        "word of the other", lambda: groups.condition("Degraded").get("reason") == "Unschedulable"
    )
    await asyncio.sleep(QUIET_SECONDS)
    # The cluster's own scheduler would have placed a rank of the other one: four GPUs are free.
    assert _placed(groups) in (FIRST, SECOND)
    assert groups.condition("Progressing")["reason"] == "WaitingForGPUs"
    gangs = await groups.stage.api.list(GANGS, NAMESPACE)
    assert sorted(each["spec"]["minMember"] for each in gangs) == [2, 2]
    pod = groups.stage.node.pods.store.get(NAMESPACE, "web-0") or {}
    assert pod["spec"]["schedulerName"] == volcano.NAME


async def _replaced(groups: Onlooker) -> None:
    before = groups.pods()
    await groups.is_ready(await groups.change(engine={"args": ["--seed=7"]}))
    assert set(groups.pods()) == set(before)
    assert not set(groups.pods().values()) & set(before.values())


def test_a_server_over_several_nodes_is_placed_as_a_gang(tmp_path: Path) -> None:
    asyncio.run(_life(tmp_path))
