"""LLMInferenceServices with KServe's real controller, real API server, scheduler and controllers.

The node is played, and so is the Gateway.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.bench.rollout import NAMESPACE, Stage
from tests.bench.rollout_cases import NAME
from tests.support import builders
from tests.support.kserve import controller, entry, played_llm
from tests.support.onlooker import Onlooker
from tests.support.played_node import until
from tests.support.ready_copy import COPY, READY

from llama_operator.api import labels
from llama_operator.reconcile import resources
from llama_operator.reconcile.kserve import INSTALL_LLM
from llama_operator.runtime.errors import Invalid

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]
Object = dict[str, Any]
MADE = f"{NAME}-kserve"
LLM: Object = {"backend": "kserve", "kserve": {"resource": "LLMInferenceService"}}
BRACES = '--default-chat-template-kwargs={"a": "{{ b }} & <c>"}'


async def _life(directory: Path) -> None:
    async with Stage.made(directory) as stage:
        seen = Onlooker(stage)
        await stage.node.gives(4)
        await _refused_at_once(stage)
        raw = builders.deployment(NAME, weightsRef={"name": COPY}, **LLM, engine={"args": [BRACES]})
        raw["metadata"] = {"name": NAME, "namespace": NAMESPACE}
        await stage.api.create(resources.DEPLOYMENTS, raw)
        await _missing(seen)
        await asyncio.to_thread(controller.install, stage.cluster, directory)
        await _waits_for_a_gateway(seen)
        async with entry.played(stage.api, NAMESPACE) as routes:
            await _serves(seen)
            _is_led_to(seen, routes.store.list())
            for step in (_the_pod_is_ours, _is_as_it_is_played, _scales, _flags_change):
                await step(seen)
            for step in (_labels_change, _edited, _without_room, _to_and_fro, _deleted):
                await step(seen)


async def _refused_at_once(stage: Stage) -> None:
    """Each rule of admission, with its field."""
    cases: dict[str, Object] = {
        "spec.kserve.resource": {"kserve": LLM["kserve"]},
        "spec.endpoint.port": {**LLM, "endpoint": {"port": 9000}},
        "spec.rollout.canaryPercent": {**LLM, "rollout": {"canaryPercent": 10}},
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
    assert seen.condition("Degraded")["reason"] == "DependencyMissing"
    assert INSTALL_LLM in seen.condition("Degraded")["message"]
    assert seen.pods() == {}


async def _waits_for_a_gateway(seen: Onlooker) -> None:
    await seen.comes("a server", lambda: seen.status.get("readyReplicas") == 1)
    words = controller.GATEWAY
    await seen.comes("why", lambda: words in seen.condition("Ready").get("message", ""))
    assert seen.condition("Ready")["status"] == "False"
    assert seen.condition("Available")["status"] == "True", "inside the cluster all is well"


async def _serves(seen: Onlooker) -> None:
    await seen.is_ready(1)
    status = seen.status
    counts = [status[name] for name in ("replicas", "readyReplicas", "updatedReplicas")]
    assert counts == [1, 1, 1]
    url = f"http://{entry.ADDRESS}/{NAMESPACE}/{NAME}/v1"
    assert status["endpoint"]["externalURL"] == url
    assert status["kserve"] == {"ready": "True", "traffic": [], "message": ""}
    (pod,) = await _pods(seen)
    service = await seen.stage.api.get(resources.SERVICES, NAMESPACE, NAME)
    theirs = await seen.stage.api.get(resources.SERVICES, NAMESPACE, f"{MADE}-workload-svc")
    for each in (service, theirs):
        assert each["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert theirs["spec"]["ports"][0]["targetPort"] == 8000
    assert not await seen.there(resources.SERVERS)


def _is_led_to(seen: Onlooker, routes: list[Object]) -> None:
    """Every rule leads to KServe's Service, by a path: no second name of the model is asked for."""
    (route,) = routes
    rules = route["spec"]["rules"]
    backends = {(each["kind"], each["name"]) for rule in rules for each in rule["backendRefs"]}
    assert backends == {("Service", f"{MADE}-workload-svc")}
    assert not [rule for rule in rules for each in rule["matches"] if each.get("headers")]


async def _pods(seen: Onlooker) -> list[Object]:
    found = [seen.stage.node.pods.store.get(NAMESPACE, name) for name in seen.pods()]
    return [dict(each) for each in found if each]


async def _the_pod_is_ours(seen: Onlooker) -> None:
    """What counts of the pod as the API server has it, whatever KServe's preset says."""
    (pod,) = await _pods(seen)
    (box,) = pod["spec"]["containers"]
    assert box["command"][:2] == ["python3", "-c"]
    assert "/etc/llama-guard" in box["command"][2]
    assert box["command"][3:] == ["serve"]
    assert BRACES in box["args"]
    assert not [each for each in box["args"] if "ssl" in each]
    variables = {each["name"]: each.get("value") for each in box["env"]}
    assert variables["LLAMA_GUARD_KEYS"] == "/etc/llama-guard-keys"
    assert variables["HOME"] == "/tmp"
    assert "PYTHONPATH" not in variables
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert box[probe]["httpGet"]["scheme"] == "HTTP"
    assert box["startupProbe"]["failureThreshold"] > 100
    assert pod["spec"]["terminationGracePeriodSeconds"] > 60
    mounts = {each["mountPath"]: each["name"] for each in box["volumeMounts"]}
    assert mounts["/etc/llama-guard"] == "guard"
    assert mounts["/models/llama-3.1-8b-instruct"] == "weights"
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    assert volumes["weights"]["persistentVolumeClaim"] == {"claimName": COPY, "readOnly": True}
    claims = [each for each in volumes.values() if "persistentVolumeClaim" in each]
    assert len(claims) == 1, "a claim that is mounted twice starts no pod"
    assert "class Guard" in pod["metadata"]["annotations"][labels.GUARD]


async def _is_as_it_is_played(seen: Onlooker) -> None:
    """The stand-in of other tests makes what the real one makes."""
    service = await seen.stage.api.get(resources.LLM_INFERENCES, NAMESPACE, NAME)
    assert service["spec"]["model"]["uri"] == f"pvc://{COPY}/{READY['path']}"
    real = await seen.stage.api.get(resources.SERVERS, NAMESPACE, MADE)
    played = played_llm.deployment(service)
    assert real["metadata"]["labels"] == played["metadata"]["labels"]
    assert real["spec"]["selector"] == played["spec"]["selector"]
    meta = ("labels", "annotations")
    ours, theirs = (each["spec"]["template"] for each in (played, real))
    assert [theirs["metadata"][name] for name in meta] == [ours["metadata"][name] for name in meta]
    assert _within(ours["spec"], theirs["spec"]) == []


def _within(wanted: Any, found: Any, at: str = "") -> list[str]:
    """Where something is missing or otherwise; the API server adds its defaults."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            text for key in wanted for text in _within(wanted[key], found.get(key), f"{at}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        named = all(isinstance(each, dict) and "name" in each for each in wanted)
        key = "mountPath" if at.endswith("volumeMounts") else "name"
        if named:
            wanted, found = (sorted(each, key=lambda one: one[key]) for each in (wanted, found))
        pairs = enumerate(zip(wanted, found, strict=True))
        return [text for i, two in pairs for text in _within(*two, f"{at}[{i}]")]
    return [] if wanted == found else [f"{at}: {wanted!r}, not {found!r}"]


async def _scales(seen: Onlooker) -> None:
    before = seen.pods()
    for count in (3, 0, 1):
        await seen.is_ready(await seen.change(replicas=count))
        await seen.comes(f"{count} pods", lambda wanted=count: len(seen.pods()) == wanted)
        assert seen.status["readyReplicas"] == count
    assert not set(before) & set(seen.pods())


async def _flags_change(seen: Onlooker) -> None:
    before, revision = set(seen.pods()), seen.status["revision"]["current"]
    await seen.is_ready(await seen.change(engine={"args": [BRACES, "--seed=7"]}))
    await seen.comes("one pod", lambda: len(seen.pods()) == 1)
    assert not before & set(seen.pods())
    assert seen.status["rollout"]["strategy"] == "Surge"
    assert seen.status["revision"]["current"] == seen.status["revision"]["lastGood"] != revision


async def _labels_change(seen: Onlooker) -> None:
    """Given to the pod that runs: in KServe's selector they could never change."""
    before = seen.pods()
    await seen.change(podMetadata={"labels": {"team": "a"}})

    def given() -> bool:
        found = [seen.stage.node.pods.store.get(NAMESPACE, name) or {} for name in before]
        own = [each.get("metadata", {}).get("labels", {}) for each in found]
        return all(each.get("team") == "a" and each.get(labels.VOLUME) for each in own)

    await seen.comes("labels", given)
    assert seen.pods() == before
    made = await seen.stage.api.get(resources.SERVERS, NAMESPACE, MADE)
    assert "team" not in made["spec"]["selector"]["matchLabels"]


async def _edited(seen: Onlooker) -> None:
    """What somebody changes in our part is put right."""
    where = (resources.LLM_INFERENCES, NAMESPACE, NAME)
    await seen.stage.api.patch(*where, {"spec": {"replicas": 2}})
    for _ in range(300):
        if (await seen.stage.api.get(*where))["spec"]["replicas"] == 1:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not put right within 30 s\n{seen.status}")


async def _without_room(seen: Onlooker) -> None:
    """As many GPUs as servers: KServe's Deployment alone would wait for one more for ever."""
    for count, strategy in ((2, "InPlace"), (1, "Swap")):
        await seen.is_ready(await seen.change(replicas=count))
        await seen.comes(f"{count} pods", lambda wanted=count: len(seen.pods()) == wanted)
        await seen.stage.node.gives(count)
        before, fewest = set(seen.pods()), [count]
        seen.stage.node.pods.add_handler(
            lambda *_, lowest=fewest: lowest.append(seen.stage.count()[0])
        )
        generation = await seen.change(engine={"args": [f"--seed={count}0"]})
        await seen.is_ready(generation)
        await seen.comes(f"{count} pods", lambda wanted=count: len(seen.pods()) == wanted)
        assert not before & set(seen.pods())
        assert seen.status["rollout"]["strategy"] == strategy
        assert min(fewest) >= count - 1
        assert seen.status["readyReplicas"] == count
    await seen.stage.node.gives(4)


async def _to_and_fro(seen: Onlooker) -> None:
    steps: tuple[tuple[Object, Any, list[Any]], ...] = (
        ({"backend": "native", "kserve": None}, resources.SERVERS, [resources.LLM_INFERENCES]),
        (LLM, resources.LLM_INFERENCES, [resources.SERVERS]),
    )
    for spec, made, gone in steps:
        await seen.is_ready(await seen.change(**spec))
        assert await seen.there(made)
        for each in gone:
            await seen.absent(each)
        await seen.comes("one pod", lambda: len(seen.pods()) == 1)
        assert ("kserve" in seen.status) is (spec is LLM)
        assert ("externalURL" in seen.status["endpoint"]) is (spec is LLM)


async def _deleted(seen: Onlooker) -> None:
    await seen.stage.api.delete(resources.DEPLOYMENTS, NAMESPACE, NAME)
    await until(lambda: not seen.stage.node.pods.store.list(NAMESPACE), 60, "no pod")
    for resource, name in ((resources.LLM_INFERENCES, NAME), (resources.SERVERS, MADE)):
        await seen.absent(resource, name)


def test_they_are_made_by_kserve_followed_and_removed(tmp_path: Path) -> None:
    asyncio.run(_life(tmp_path))
