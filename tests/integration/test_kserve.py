"""Servers behind KServe: its real definition on a real API server, real scheduler and controllers.

KServe's own controller is a stand-in, and so is the node.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.bench.rollout import NAMESPACE, Stage
from tests.bench.rollout_cases import NAME
from tests.support import builders, kserve
from tests.support.kserve.standin import StandIn
from tests.support.onlooker import Onlooker
from tests.support.played_node import answers
from tests.support.ready_copy import COPY

from llama_operator.api import labels
from llama_operator.reconcile import resources
from llama_operator.reconcile.kserve import INSTALL
from llama_operator.runtime.errors import Invalid

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]
Object = dict[str, Any]
PREDICTOR = f"{NAME}-predictor"


async def _life(directory: Path) -> None:
    async with Stage.made(directory) as stage:
        seen = Onlooker(stage)
        await stage.node.gives(4)
        await _refused_at_once(stage)
        raw = builders.deployment(
            NAME, weightsRef={"name": COPY}, auth={"mode": "None"}, backend="kserve"
        )
        raw["metadata"] = {"name": NAME, "namespace": NAMESPACE}
        await stage.api.create(resources.DEPLOYMENTS, raw)
        await _missing(seen)
        await asyncio.to_thread(kserve.define, stage.cluster)
        await asyncio.to_thread(kserve.refuse_variables, stage.cluster)
        await _waits_for_kserve(seen)
        async with StandIn.running(stage.api, NAMESPACE) as kserves:
            for step in (_serves, _scales, _flags_change, _canary, _edited):
                await step(seen)
            await _without_a_way_in(seen, kserves)
            await _native_and_back(seen)
            await _deleted(seen)


async def _refused_at_once(stage: Stage) -> None:
    """Each rule of admission, with its field."""
    cases: dict[str, Object] = {
        "spec.rollout.canaryPercent": {"rollout": {"canaryPercent": 10}},
        "spec.autoscaling.minReplicas": {"backend": "kserve", "autoscaling": {"minReplicas": 0}},
        "spec.sizing.nodes": {"backend": "kserve", "sizing": {"nodes": 2}},
        "spec.backend": {"backend": "knative"},
    }
    for field, change in cases.items():
        raw = builders.deployment("refused", **change)
        raw["metadata"] = {"name": "refused", "namespace": NAMESPACE}
        with pytest.raises(Invalid) as refusal:
            await stage.api.create(resources.DEPLOYMENTS, raw)
        assert field in refusal.value.message


async def _missing(seen: Onlooker) -> None:
    await seen.comes(
        "DependencyMissing", lambda: seen.condition("Degraded").get("status") == "True"
    )
    told = seen.condition("Degraded")
    assert told["reason"] == "DependencyMissing"
    assert INSTALL in told["message"]
    assert seen.pods() == {}


async def _waits_for_kserve(seen: Onlooker) -> None:
    """Its definition is there and its controller is not: the object is made, and nothing claimed."""
    await seen.comes("nothing missing", lambda: seen.condition("Degraded").get("status") == "False")
    assert seen.condition("Ready")["status"] == "False"
    assert seen.pods() == {}


async def _serves(seen: Onlooker) -> None:
    await seen.is_ready(1)
    status = seen.status
    counts = [status[name] for name in ("replicas", "readyReplicas", "updatedReplicas")]
    assert counts == [1, 1, 1]
    assert status["endpoint"]["externalURL"] == f"http://{NAME}-{NAMESPACE}.example.com/v1"
    assert status["kserve"] == {"ready": "True", "traffic": [], "message": ""}
    (pod,) = [_pod(seen, name) for name in seen.pods()]
    service = await seen.stage.api.get(resources.SERVICES, NAMESPACE, NAME)
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert pod["spec"]["containers"][0]["name"] == "kserve-container"
    claim = pod["spec"]["volumes"][0]["persistentVolumeClaim"]
    assert claim == {"claimName": COPY, "readOnly": True}
    assert not await seen.there(resources.SERVERS)


def _pod(seen: Onlooker, name: str) -> Object:
    return dict(seen.stage.node.pods.store.get(NAMESPACE, name) or {})


async def _scales(seen: Onlooker) -> None:
    before = seen.pods()
    for count in (3, 0, 1):
        await seen.is_ready(await seen.change(replicas=count))
        await seen.comes(f"{count} pods", lambda wanted=count: len(seen.pods()) == wanted)
        assert seen.status["readyReplicas"] == count
    assert not set(before) & set(seen.pods())


async def _flags_change(seen: Onlooker) -> None:
    before, revision = set(seen.pods()), seen.status["revision"]["current"]
    await seen.is_ready(await seen.change(engine={"args": ["--seed=7"]}))
    await seen.comes("one pod", lambda: len(seen.pods()) == 1)
    assert not before & set(seen.pods())
    assert seen.status["rollout"]["strategy"] == "Surge"
    assert seen.status["revision"]["current"] == seen.status["revision"]["lastGood"] != revision
    # The stand-in writes on: nothing that we keep on the object may reach a pod again.
    stamps = {
        _pod(seen, each)["metadata"]["annotations"][labels.INTENT_HASH] for each in seen.pods()
    }
    assert len(stamps) == 1


async def _canary(seen: Onlooker) -> None:
    before = seen.pods()
    await seen.is_ready(await seen.change(rollout={"canaryPercent": 20}))
    service = await seen.stage.api.get(resources.INFERENCES, NAMESPACE, NAME)
    assert service["spec"]["predictor"]["canaryTrafficPercent"] == 20
    assert "canaryPercent" in seen.status["kserve"]["message"]
    assert seen.pods() == before, "no pod started anew"
    await seen.is_ready(await seen.change(rollout={"canaryPercent": 0}))
    service = await seen.stage.api.get(resources.INFERENCES, NAMESPACE, NAME)
    assert "canaryTrafficPercent" not in service["spec"]["predictor"]


async def _edited(seen: Onlooker) -> None:
    """What somebody changes in our part of the InferenceService is put right."""
    # KServe refuses fewer at the most than at the least.
    patch = {"spec": {"predictor": {"minReplicas": 2, "maxReplicas": 2}}}
    await seen.stage.api.patch(resources.INFERENCES, NAMESPACE, NAME, patch)

    for _ in range(300):
        found = await seen.stage.api.get(resources.INFERENCES, NAMESPACE, NAME)
        if found["spec"]["predictor"]["minReplicas"] == 1:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not put right within 30 s\n{seen.status}")


async def _without_a_way_in(seen: Onlooker, kserves: StandIn) -> None:
    kserves.lets_nobody_in("HTTPRouteNotReady", "no Gateway kserve/ingress")
    words = "no Gateway kserve/ingress"
    await seen.comes("why", lambda: words in seen.condition("Ready").get("message", ""))
    assert seen.condition("Ready")["status"] == "False"
    assert seen.condition("Available")["status"] == "True", "inside the cluster all is well"
    kserves.lets_nobody_in()
    await seen.comes("ready again", lambda: seen.condition("Ready").get("status") == "True")


async def _native_and_back(seen: Onlooker) -> None:
    await seen.is_ready(await seen.change(backend="native"))
    assert await seen.there(resources.SERVERS)
    await _gone(seen)
    assert seen.status["rollout"]["strategy"] == "Surge"
    assert "kserve" not in seen.status
    assert "externalURL" not in seen.status["endpoint"]
    await seen.is_ready(await seen.change(backend="kserve"))
    assert await seen.there(resources.INFERENCES)
    assert not await seen.there(resources.SERVERS)
    await seen.comes("one pod", lambda: len(seen.pods()) == 1)
    assert all(answers(_pod(seen, name)) for name in seen.pods())


async def _gone(seen: Onlooker) -> None:
    """The InferenceService, KServe's Deployment and its pods; only ours is left."""
    await seen.comes("one pod", lambda: len(seen.pods()) == 1)
    for resource, name in ((resources.INFERENCES, NAME), (resources.SERVERS, PREDICTOR)):
        await seen.absent(resource, name)


async def _deleted(seen: Onlooker) -> None:
    await seen.stage.api.delete(resources.DEPLOYMENTS, NAMESPACE, NAME)
    await seen.comes("nothing", lambda: not seen.stage.node.pods.store.list(NAMESPACE))
    for resource, name in ((resources.INFERENCES, NAME), (resources.SERVERS, PREDICTOR)):
        await seen.absent(resource, name)


def test_inference_services_are_made_followed_and_removed(tmp_path: Path) -> None:
    asyncio.run(_life(tmp_path))
