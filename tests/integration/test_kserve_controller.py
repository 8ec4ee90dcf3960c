"""Servers behind KServe's real controller: what `test_kserve` asks of a stand-in, asked of the real one.

Its webhooks let our InferenceService in, and change its pods as they would in a cluster. Control
plane, scheduler and controllers are real as well; the node is played, and no Ingress has a controller.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.bench.rollout import NAMESPACE, Stage
from tests.bench.rollout_cases import NAME
from tests.integration import test_kserve as played
from tests.support import builders
from tests.support.kserve import manager
from tests.support.onlooker import Onlooker
from tests.support.ready_copy import COPY

from llama_operator.reconcile import resources

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]
STEPS = (
    *(played._serves, played._scales, played._flags_change, played._canary, played._edited),
    *(played._native_and_back, played._deleted),
)


async def _life(directory: Path) -> None:
    await asyncio.to_thread(manager.program)
    async with Stage.made(directory) as stage:
        await asyncio.to_thread(manager.install, stage.cluster, directory)
        await stage.node.gives(4)
        raw = builders.deployment(
            NAME, weightsRef={"name": COPY}, auth={"mode": "None"}, backend="kserve"
        )
        raw["metadata"] = {"name": NAME, "namespace": NAMESPACE}
        await stage.api.create(resources.DEPLOYMENTS, raw)
        for step in STEPS:
            try:
                await step(Onlooker(stage))
            except AssertionError as error:
                log = stage.cluster.processes.log(manager.NAME).read_text()
                raise AssertionError(f"{step.__name__}: {error}\n{log[-4000:]}") from None


def test_kserve_itself_serves_scales_and_removes_them(tmp_path: Path) -> None:
    asyncio.run(_life(tmp_path))
