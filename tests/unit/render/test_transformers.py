"""A server of transformers: its command, what it carries, and nothing of vLLM's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.builders import serving

from llama_operator import guard, sources
from llama_operator.api import labels
from llama_operator.reconcile import stalls
from llama_operator.render import pod

Object = dict[str, Any]


def template(engine: Object | None = None, **spec: Any) -> Object:
    wanted = {"type": "transformers", "image": "registry.example/tf:5.19.0", **(engine or {})}
    return pod.template(serving(engine=wanted, **spec))


def container(**spec: Any) -> Object:
    found: Object = template(**spec)["spec"]["containers"][0]
    return found


def setting(**spec: Any) -> Object:
    (text,) = container(**spec)["args"]
    return dict(json.loads(text))


def test_the_launcher_serves_the_weights_under_the_name_of_clients() -> None:
    assert container()["command"] == ["python3", "-m", "llama_serve"]
    found = setting(endpoint={"servedModelName": "mine", "port": 9000}, drain={"timeout": "7s"})
    mount = next(each for each in container()["volumeMounts"] if each["name"] == "weights")
    assert found["path"] == mount["mountPath"]
    assert (found["name"], found["port"], found["drain"]) == ("mine", 9000, 7)
    assert found["context"] == serving().plan.max_model_len


@pytest.mark.parametrize(("device", "seen"), [("cpu", "cpu"), ("cuda", "cuda:0")])
def test_where_layers_go(device: str, seen: str) -> None:
    assert setting(engine={"device": device})["device"] == seen


def test_launcher_and_guard_travel_with_the_pod() -> None:
    found = template()
    assert found["metadata"]["annotations"] == {
        labels.GUARD: sources.carried(guard.FILE),
        labels.LAUNCHER: sources.carried(guard.LAUNCHER_FILE),
    }
    (volume,) = (each for each in found["spec"]["volumes"] if each["name"] == "guard")
    paths = [each["path"] for each in volume["downwardAPI"]["items"]]
    assert paths == ["llama_guard.py", "llama_serve.py"]
    # etcd and the API server allow 256 KiB of annotations.
    assert sum(map(len, found["metadata"]["annotations"].values())) < 100_000


def test_a_server_of_vllm_carries_no_launcher() -> None:
    found = pod.template(serving())
    assert set(found["metadata"]["annotations"]) == {labels.GUARD, labels.WARM_UP}
    (volume,) = (each for each in found["spec"]["volumes"] if each["name"] == "guard")
    paths = [each["path"] for each in volume["downwardAPI"]["items"]]
    assert paths == ["llama_guard.py", "llama_warm_up.py"]


def test_nothing_of_vllm_is_in_it() -> None:
    found = container(engine={"device": "cpu"}, observability={"otlpEndpoint": "http://c:4317"})
    names = {each["name"] for each in found["env"]}
    assert not [each for each in names if each.startswith(("VLLM", "OTEL"))]
    assert {"HF_HUB_OFFLINE", "OMP_NUM_THREADS", "LLAMA_GUARD_KEYS", "PYTHONPATH"} <= names
    assert "--" not in found["args"][0]


def test_the_silence_of_its_start_replaces_nobody() -> None:
    """It tells of its progress in one line that ends when all is loaded."""
    from tests.support.builders import deployment_view

    from llama_operator.reconcile.snapshot import Start

    silent = {"u": Start("LoadingWeights", 1e9)}
    found = {"metadata": {"uid": "u", "name": "web-0", "namespace": "default"}}
    for engine, stalled in (("vllm", 1), ("transformers", 0)):
        view = deployment_view(
            {
                "kind": "LlamaDeployment",
                "metadata": {"name": "web", "namespace": "default", "uid": "d"},
                "spec": {"model": "llama-3.1-8b-instruct", "engine": {"type": engine}},
            },
            pods=(found,),
            starts=silent,
        )
        assert len(stalls.find(view)) == stalled


def test_without_a_default_image_one_is_asked_for_before_weights_are_fetched() -> None:
    from tests.support.builders import deployment, deployment_view

    from llama_operator.reconcile import planning

    def judged(**engine: Any) -> planning.Judgement:
        view = deployment_view(deployment("web", engine={"type": "transformers", **engine}))
        world = view.world
        return planning.judge(view.spec, world.catalog, world.nodes, None)

    refused = judged(device="cpu")
    assert (refused.condition.status, refused.condition.reason) == ("False", "ModelNotServable")
    assert refused.condition.message.startswith("spec.engine.image: ")
    assert not refused.wanted
    assert judged(device="cpu", image="x/y:5.19.0").plan is not None
    assert judged().plan is not None
