"""What is rendered for KServe, as the models of KServe's own SDK take it.

The SDK brings 67 packages, so it lives in an environment of its own, which `make prepare` makes.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.builders import merged, serving
from tests.support.kserve import VERSION, sdk

from llama_operator.render import render
from llama_operator.render.inputs import Replacing

pytestmark = pytest.mark.timeout(300)
Object = dict[str, Any]
ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/snapshot/golden"
# Each object becomes the SDK's model of it, and what that shows of it, or why it cannot. One process
# for all: to import the SDK takes seconds.
PROGRAM = """
import json, sys, kserve
from llama_operator.api.errors import LlamaError
from llama_operator.kserve_models import inference_service
for line in sys.stdin:
    try:
        made = inference_service(json.loads(line))
        assert type(made) is kserve.V1beta1InferenceService
        box = made.spec.predictor.containers[0]
        print(json.dumps({"box": box.name, "replicas": made.spec.predictor.min_replicas,
                          "canary": made.spec.predictor.canary_traffic_percent,
                          "kind": made.kind}), flush=True)
    except LlamaError as error:
        print(json.dumps({"refused": str(error)}), flush=True)
"""


class Models:
    """What the SDK makes of objects."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def read(self, objects: list[Object]) -> list[Object]:
        return [self._one(obj) for obj in objects]

    def _one(self, obj: Object) -> Object:
        told, answers = self._process.stdin, self._process.stdout
        assert told is not None
        assert answers is not None
        print(json.dumps(obj), file=told, flush=True)
        line = answers.readline()
        assert line, "the SDK's process has ended; what it wrote stands above"
        found: Object = json.loads(line)
        return found


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with subprocess.Popen(
        [str(sdk.install() / "bin/python"), "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT / "operator")},
        text=True,
    ) as process:
        yield Models(process)
        process.communicate(timeout=20)
    assert process.returncode == 0


def services(objects: list[Object]) -> list[Object]:
    return [obj for obj in objects if obj["kind"] == "InferenceService"]


def rendered(how: Replacing, **spec: Any) -> Object:
    (found,) = services(render.serving_objects(serving(backend="kserve", **spec), None, how))
    return found


def test_golden_manifests_fit_the_models(models: Models) -> None:
    texts = [path.read_text() for path in sorted(GOLDEN.glob("*.yaml"))]
    found = services([obj for text in texts for obj in yaml.safe_load_all(text)])
    assert found, "no example has backend kserve"
    (said,) = models.read(found)
    assert said == {
        "box": "kserve-container", "replicas": 2, "canary": 10, "kind": "InferenceService"
    }  # fmt: skip


def test_every_field_that_we_may_set_is_one_of_the_models(models: Models) -> None:
    full = {
        "replicas": 3,
        "rollout": {"canaryPercent": 30},
        "lora": {"enabled": True},
        "engine": {
            "imagePullSecrets": [{"name": "registry"}],
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "resources": {"limits": {"memory": "300Gi"}},
        },
        "compileCache": {"enabled": True, "storage": {"size": "5Gi"}},
        "runtimeClassName": "nvidia",
        "podMetadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
        "scheduling": {
            "nodeSelector": {"zone": "a"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
            ],
            "priorityClassName": "high",
            "schedulerName": "volcano",
            "queueName": "gpus",
        },
    }
    said = models.read([rendered(Replacing(1, 0, "{}"), **full), rendered(Replacing(), replicas=0)])
    assert [each.get("refused") for each in said] == [None, None]
    assert [each["replicas"] for each in said] == [3, 0]


UNFIT: list[tuple[Object, str]] = [
    ({"minReplica": 1}, "predictor.minReplica:"),
    ({"minReplicas": "1"}, "predictor.minReplicas:"),
    ({"minReplicas": True}, "predictor.minReplicas:"),
    ({"labels": {"a": 1}}, "predictor.labels.a:"),
    ({"volumes": [{"name": "x", "emtyDir": {}}]}, "volumes[0].emtyDir:"),
    ({"containers": [{"name": "x", "ports": [{}]}]}, "containers[0].ports.0.containerPort:"),
]


def test_a_field_that_the_sdk_does_not_know_is_named(models: Models) -> None:
    bare = rendered(Replacing())
    said = models.read([merged(bare, {"spec": {"predictor": change}}) for change, _ in UNFIT])
    for (_, field), told in zip(UNFIT, said, strict=True):
        assert field in told["refused"]


def test_sdk_and_definition_are_of_one_version() -> None:
    assert f"kserve=={VERSION.removeprefix('v')} " in sdk.LOCK.read_text()
