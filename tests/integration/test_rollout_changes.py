"""A spec that changes while servers are being replaced, or needs no server replaced, or goes away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.bench.rollout import NAMESPACE, Stage, deployment
from tests.bench.rollout_cases import IN_PLACE, NAME
from tests.support.played_node import until
from tests.support.ready_copy import COPY

from llama_operator.reconcile import resources

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
Object = dict[str, Any]
SECONDS = 60.0


def test_what_changes_in_the_middle_of_a_rollout(tmp_path: Path) -> None:
    asyncio.run(_played(tmp_path))


async def _played(directory: Path) -> None:
    async with Stage.made(directory) as stage:
        await stage.node.gives(2)
        await stage.api.create(resources.DEPLOYMENTS, deployment(IN_PLACE))
        await until(stage.ready, SECONDS, "Ready")
        await _labelled(stage)
        await _edited_in_the_middle(stage)
        await _deleted_in_the_middle(stage)


async def _edit(stage: Stage, **spec: Any) -> int:
    change = {"spec": spec}
    made = await stage.api.patch(resources.DEPLOYMENTS, NAMESPACE, NAME, change)
    return int(made["metadata"]["generation"])


def _uids(stage: Stage) -> set[str]:
    return {pod["metadata"]["uid"] for pod in stage.servers()}


def _labels(stage: Stage) -> list[str]:
    return [pod["metadata"]["labels"].get("team", "") for pod in stage.servers()]


async def _labelled(stage: Stage) -> None:
    before = _uids(stage)
    await _edit(stage, podMetadata={"labels": {"team": "a"}})
    await until(lambda: _labels(stage) == ["a", "a"], SECONDS, "labels on servers that run")
    await _edit(stage, podMetadata={"labels": None})
    await until(lambda: _labels(stage) == ["", ""], SECONDS, "labels to go")
    assert _uids(stage) == before


async def _edited_in_the_middle(stage: Stage) -> None:
    counts: list[int] = []
    stage.node.pods.add_handler(lambda *_: counts.append(stage.count()[0]))
    old = _uids(stage)
    await _edit(stage, engine={"args": ["--seed=1"]})
    await until(lambda: len(_uids(stage) & old) < 2, SECONDS, "the first old server to stop")
    generation = await _edit(stage, engine={"args": ["--seed=2"]})
    await until(lambda: stage.over(IN_PLACE, generation), SECONDS, "the end of the second rollout")
    assert min(counts) >= 1
    assert _seeds(stage) == ["--seed=2", "--seed=2"]
    kept = stage.status["revision"]
    assert kept["current"] == kept["update"] == kept["lastGood"]


def _seeds(stage: Stage) -> list[str]:
    return [pod["spec"]["containers"][0]["args"][-1] for pod in stage.servers()]


async def _deleted_in_the_middle(stage: Stage) -> None:
    old = _uids(stage)
    await _edit(stage, engine={"image": "example.com/vllm:v9", "vllmVersion": "0.24.0"})
    await until(
        lambda: len(stage.node.pods.store.list(NAMESPACE)) > 2, SECONDS, "a pod for the image"
    )
    await stage.api.delete(resources.DEPLOYMENTS, NAMESPACE, NAME)
    await until(lambda: not stage.node.pods.store.list(NAMESPACE), SECONDS, "all pods to go")
    assert old
    await stage.gone()
    copy = await stage.api.get(resources.WEIGHTS, NAMESPACE, COPY)
    assert "deletionTimestamp" not in copy["metadata"]
