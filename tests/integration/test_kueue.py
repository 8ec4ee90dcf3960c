"""Servers and Jobs in queues of the real Kueue: held, let go, replaced; and nobody fights for a field.

Kueue, API server, scheduler, controllers, LeaderWorkerSet and the operator are real; the node is played.
It has more GPUs than the queue has quota, so what waits waits for the queue.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.bench.rollout import NAMESPACE, Stage
from tests.support import builders, kueue, lws
from tests.support.onlooker import Onlooker
from tests.support.ready_copy import COPY

from llama_operator.api import labels
from llama_operator.api.v1alpha1 import API_VERSION
from llama_operator.reconcile import resources

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]
Object = dict[str, Any]
GPUS = "nvidia.com/gpu"
TEAM, NIGHT = "team", "night"
PLENTY = {"cpu": "1k", "memory": "100Ti", "ephemeral-storage": "100Ti"}
QUIET_SECONDS = 5.0
FULL = "insufficient unused quota"


async def _servers_life(directory: Path) -> None:
    async with Stage.made(directory) as stage:
        await stage.node.gives(24)
        web, later = Onlooker(stage), Onlooker(stage, "later")
        await _nobody_heeds_a_queue(web)
        await asyncio.to_thread(kueue.install, stage.cluster, directory)
        await _queue(stage, TEAM, {**PLENTY, GPUS: "1"})
        await _queue(stage, NIGHT, PLENTY)
        await _second_waits_for_the_first(web, later)
        await _commands_tell_it(later)
        await _nobody_fights(web, later)
        await _removed(web)
        await later.is_ready(1)
        await _replaced_within_the_same_quota(later)
        await _a_queue_of_what_runs_stays(later)


async def _jobs_and_groups(directory: Path) -> None:
    async with Stage.made(directory) as stage:
        await stage.node.gives(24)
        await asyncio.to_thread(kueue.install, stage.cluster, directory)
        await _a_job_is_let_go(stage)
        await asyncio.to_thread(lws.install, stage.cluster, directory)
        await _groups_come_whole(Onlooker(stage))


async def _made(onlooker: Onlooker, **spec: Any) -> None:
    raw = builders.deployment(
        onlooker.name,
        weightsRef={"name": COPY},
        auth={"mode": "None"},
        scheduling={"queueName": TEAM},
        **spec,
    )
    raw["metadata"] = {"name": onlooker.name, "namespace": NAMESPACE}
    await onlooker.stage.api.create(resources.DEPLOYMENTS, raw)


async def _removed(onlooker: Onlooker) -> None:
    await onlooker.stage.api.delete(resources.DEPLOYMENTS, NAMESPACE, onlooker.name)
    await onlooker.comes("no server of it", lambda: not _servers(onlooker))


def _servers(onlooker: Onlooker) -> list[Object]:
    found = onlooker.stage.node.pods.store.list(NAMESPACE)
    return [pod for pod in found if _own(pod).get(labels.DEPLOYMENT) == onlooker.name]


def _own(pod: Object) -> Object:
    return dict(pod["metadata"].get("labels", {}))


async def _queue(stage: Stage, name: str, quota: Object) -> None:
    """A queue with this quota, or this quota of the queue."""
    made = {"apiVersion": "v1", "kind": "List", "items": kueue.queue(name, NAMESPACE, quota)}
    await asyncio.to_thread(
        stage.cluster.kubectl, "apply", "--server-side", "-f", "-", input=json.dumps(made)
    )


def _waits(onlooker: Onlooker, kind: str = "Ready") -> bool:
    told = onlooker.condition(kind)
    return told.get("reason") == "Queued" and FULL in told["message"]


async def _nobody_heeds_a_queue(web: Onlooker) -> None:
    await _made(web)
    await web.comes("a server", lambda: web.status.get("readyReplicas") == 1)
    told = web.condition("Degraded")
    assert (told["status"], told["reason"]) == ("True", "DependencyMissing")
    assert "spec.scheduling.queueName is team" in told["message"]
    await _removed(web)


async def _second_waits_for_the_first(web: Onlooker, later: Onlooker) -> None:
    await _made(web)
    await web.is_ready(1)
    assert web.condition("Degraded")["status"] == "False"
    await _made(later)
    await later.comes("to wait in the queue", lambda: _waits(later))
    told = later.condition("Ready")
    assert told["status"] == "False"
    assert "queue team" in told["message"]
    assert f"{GPUS} in flavor plain, 1 more needed" in told["message"]
    assert later.condition("Progressing")["status"] == "False"
    assert later.condition("Degraded")["reason"] == "Healthy"
    assert [pod["spec"].get("nodeName") for pod in _servers(later)] == [None]


async def _commands_tell_it(later: Onlooker) -> None:
    status = await _llamactl(later, "status", later.name)
    assert "Queued" in status
    assert "in Kueue's queue team" in " ".join(status.split())
    doctor = await _llamactl(later, "doctor", later.name)
    assert "Queued" in doctor
    assert FULL in " ".join(doctor.split())
    cluster = await _llamactl(later, "doctor", "cluster")
    assert any("Kueue" in line and "v1beta2" in line for line in cluster.splitlines()), cluster
    assert any("Volcano" in line and "not found" in line for line in cluster.splitlines()), cluster


async def _llamactl(onlooker: Onlooker, *args: str) -> str:
    config = str(onlooker.stage.cluster.kubeconfig)
    whole = [sys.executable, "-m", "llamactl", *args, "-n", NAMESPACE, "--kubeconfig", config]
    done = await asyncio.to_thread(
        subprocess.run, whole, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout


async def _nobody_fights(web: Onlooker, later: Onlooker) -> None:
    """What Kueue has written stays, and nothing is written again and again."""
    (pod,) = _servers(web)
    assert _own(pod)["kueue.x-k8s.io/managed"] == "true"
    assert _own(pod)[labels.QUEUE] == TEAM
    before = await _versions(web, later)
    await asyncio.sleep(QUIET_SECONDS)
    assert await _versions(web, later) == before


async def _versions(*onlookers: Onlooker) -> list[str]:
    found = []
    for each in onlookers:
        for kind in (resources.DEPLOYMENTS, resources.SERVERS):
            obj = await each.stage.api.get(kind, NAMESPACE, each.name)
            found.append(obj["metadata"]["resourceVersion"])
        found += [pod["metadata"]["resourceVersion"] for pod in _servers(each)]
    return found


async def _replaced_within_the_same_quota(later: Onlooker) -> None:
    """A new server beside the old one has no quota: the old one stops for it, after a minute."""
    before = later.pods()
    generation = await later.change(engine={"args": ["--seed=7"]})
    await later.comes("the new server to wait", lambda: _waits(later, "Progressing"))
    assert later.status["rollout"]["strategy"] == "Surge"
    assert later.status["readyReplicas"] == 1, "the old one goes on"
    await later.is_ready(generation)
    told = later.status["rollout"]
    assert told["strategy"] == "Swap"
    assert "Queue team let no new server start within 60 s" in told["reason"]
    assert not set(later.pods().values()) & set(before.values())


async def _a_queue_of_what_runs_stays(later: Onlooker) -> None:
    before = later.pods()
    await later.change(scheduling={"queueName": NIGHT})
    await later.comes(
        "a refusal", lambda: later.condition("Degraded").get("reason") == "AdmissionRefused"
    )
    assert "field is immutable" in later.condition("Degraded")["message"]
    assert "delete deployment later" in later.condition("Degraded")["message"]
    await later.is_ready(await later.change(scheduling={"queueName": TEAM}))
    assert later.pods() == before


async def _a_job_is_let_go(stage: Stage) -> None:
    raw = {
        "apiVersion": API_VERSION,
        "kind": "LlamaWeights",
        "metadata": {"name": "w", "namespace": NAMESPACE, "labels": {labels.QUEUE: NIGHT}},
        "spec": {"model": "llama-3.1-8b-instruct"},
    }
    await _queue(stage, NIGHT, {**PLENTY, "cpu": "0"})
    await stage.api.create(resources.WEIGHTS, raw)
    held = await _accessible(stage, "Queued", "maximum capacity (0)")
    assert "queue night" in held["message"]
    assert "never starts with this quota" in held["message"]
    job = await _job(stage)
    assert job["spec"]["suspend"] is True
    await _queue(stage, NIGHT, PLENTY)
    await _accessible(stage, "Checking", "")
    after = await _job(stage)
    assert after["spec"]["suspend"] is False
    assert after["metadata"]["uid"] == job["metadata"]["uid"]
    await asyncio.sleep(QUIET_SECONDS)
    assert (await _job(stage))["spec"]["suspend"] is False
    await stage.api.delete(resources.WEIGHTS, NAMESPACE, "w")


async def _accessible(stage: Stage, reason: str, part: str) -> Object:
    told: Object = {}
    for _ in range(600):
        raw = await stage.api.get(resources.WEIGHTS, NAMESPACE, "w")
        found = raw.get("status", {}).get("conditions", ())
        told = next((each for each in found if each["type"] == "Accessible"), {})
        if told.get("reason") == reason and part in told["message"]:
            return told
        await asyncio.sleep(0.1)
    raise AssertionError(f"no {reason}: {told}")


async def _job(stage: Stage) -> Object:
    own = f"{labels.WEIGHTS}=w"
    (found,) = await stage.api.list(resources.JOBS, NAMESPACE, label_selector=own)
    return dict(found)


async def _groups_come_whole(web: Onlooker) -> None:
    """Quota for one server over two nodes and a half: no rank of the second one starts."""
    sizing = {"tensorParallel": 8, "pipelineParallel": 1, "nodes": 2}
    await _queue(web.stage, TEAM, {**PLENTY, GPUS: "12"})
    await _made(web, replicas=2, sizing=sizing)
    await web.comes("one of two", lambda: web.status.get("readyReplicas") == 1 and _waits(web))
    placed = {pod["metadata"]["name"] for pod in _servers(web) if pod["spec"].get("nodeName")}
    assert placed in ({"web-0", "web-0-1"}, {"web-1", "web-1-1"})
    assert web.condition("Degraded")["reason"] == "Healthy"
    await _queue(web.stage, TEAM, {**PLENTY, GPUS: "16"})
    await web.is_ready(1)
    generation = await web.change(engine={"args": ["--seed=8"]})
    await web.is_ready(generation)
    await _removed(web)


def test_queues_hold_and_let_go(tmp_path: Path) -> None:
    asyncio.run(_servers_life(tmp_path))


def test_jobs_and_groups_wait_as_well(tmp_path: Path) -> None:
    asyncio.run(_jobs_and_groups(tmp_path))
