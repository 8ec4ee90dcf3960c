"""A deployment that is deleted while something of it is under way: what is left in the namespace.

Everything that is served is listed, whatever its kind, before the deployment is made and after it is
gone. Control plane, scheduler, controllers and LeaderWorkerSet are real; KServe's controller and the
node are played, and servers that begin never answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bench.rollout import NAMESPACE, Stage
from tests.bench.rollout_cases import NAME
from tests.integration.deletions import CASES, FOR_EVER, Case
from tests.support import builders
from tests.support.onlooker import Onlooker
from tests.support.ready_copy import COPY
from tests.support.stack import OPERATOR

from llama_operator.reconcile import resources

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]
GONE_SECONDS, QUIET_SECONDS = 90.0, 3.0
LOAD_SECONDS = 0.4
# What Kubernetes writes by itself.
_OTHERS = ("event/", "event.events.k8s.io/", "endpoints/kubernetes")
_WARNING = re.compile(r"^\S+ \S+ (WARNING|ERROR|CRITICAL)|^Traceback", re.MULTILINE)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deleted")


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def stage(runner: asyncio.Runner, directory: Path) -> Iterator[Stage]:
    made = Stage.made(directory)
    yield runner.run(made.__aenter__())
    runner.run(made.__aexit__(None, None, None))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_all_of_it_goes_and_the_weights_stay(
    case: Case, stage: Stage, runner: asyncio.Runner, directory: Path
) -> None:
    case.define(stage.cluster, directory)
    runner.run(_deleted(case, Onlooker(stage)))


async def _deleted(case: Case, seen: Onlooker) -> None:
    stage = seen.stage
    async with case.world(stage):
        before = await _all(stage)
        await stage.node.gives(case.gpus)
        stage.node.load_seconds = LOAD_SECONDS if case.change else FOR_EVER
        raw = builders.deployment(
            NAME, weightsRef={"name": COPY}, auth={"mode": "None"}, **case.spec
        )
        raw["metadata"] = {"name": NAME, "namespace": NAMESPACE}
        await stage.api.create(resources.DEPLOYMENTS, raw)
        await case.middle(seen)
        made = await _all(stage) - before
        assert f"llamadeployment.llamactl.dev/{NAME}" in made
        log = stage.cluster.processes.log(OPERATOR)
        said = len(log.read_text())
        await stage.api.delete(resources.DEPLOYMENTS, NAMESPACE, NAME)
        await _back_to(stage, before)
        await asyncio.sleep(QUIET_SECONDS)
        assert await _all(stage) == before, "something came back"
        troubles = _WARNING.findall(log.read_text()[said:])
        assert not troubles, log.read_text()[said:]
        copy = await stage.api.get(resources.WEIGHTS, NAMESPACE, COPY)
        assert "deletionTimestamp" not in copy["metadata"]


async def _back_to(stage: Stage, before: set[str]) -> None:
    left: set[str] = set()
    end = asyncio.get_running_loop().time() + GONE_SECONDS
    while asyncio.get_running_loop().time() < end:
        left = await _all(stage) ^ before
        if not left:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"not as before after {GONE_SECONDS:g} s: {sorted(left)}")


async def _all(stage: Stage) -> set[str]:
    """Kind and name of everything in the namespace."""
    return await asyncio.to_thread(_listed, stage)


def _listed(stage: Stage) -> set[str]:
    kubectl = stage.cluster.kubectl
    kinds = kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    found = kubectl("get", ",".join(kinds), "-n", NAMESPACE, "-o", "name").split()
    return {each for each in found if not each.startswith(_OTHERS)}
