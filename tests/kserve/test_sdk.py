"""What is rendered for KServe, as the models of KServe's own SDK take it.

The SDK brings 67 packages, so it lives in an environment of its own, which `make prepare` makes.
"""

from __future__ import annotations

import json
import subprocess
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
# Each object becomes the SDK's model of it, and what that shows of it, or why it cannot.
PROGRAM = """
import json, sys, kserve
from llama_operator.api.errors import LlamaError
from llama_operator.kserve_models import inference_service
for obj in json.load(sys.stdin):
    try:
        made = inference_service(obj)
        assert type(made) is kserve.V1beta1InferenceService
        box = made.spec.predictor.containers[0]
        print(json.dumps({"box": box.name, "replicas": made.spec.predictor.min_replicas,
                          "canary": made.spec.predictor.canary_traffic_percent,
                          "kind": made.kind}))
    except LlamaError as error:
        print(json.dumps({"refused": str(error)}))
"""


def read(objects: list[Object]) -> list[Object]:
    """What the SDK makes of each."""
    done = subprocess.run(
        [str(sdk.install() / "bin/python"), "-c", PROGRAM],
        input=json.dumps(objects),
        env={"PYTHONPATH": str(ROOT / "operator"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def services(objects: list[Object]) -> list[Object]:
    return [obj for obj in objects if obj["kind"] == "InferenceService"]


def rendered(how: Replacing, **spec: Any) -> Object:
    (found,) = services(render.serving_objects(serving(backend="kserve", **spec), None, how))
    return found


def test_golden_manifests_fit_the_models() -> None:
    texts = [path.read_text() for path in sorted(GOLDEN.glob("*.yaml"))]
    found = services([obj for text in texts for obj in yaml.safe_load_all(text)])
    assert found, "no example has backend kserve"
    (said,) = read(found)
    assert said == {
        "box": "kserve-container", "replicas": 2, "canary": 10, "kind": "InferenceService"
    }  # fmt: skip


def test_every_field_that_we_may_set_is_one_of_the_models() -> None:
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
    said = read([rendered(Replacing(1, 0, "{}"), **full), rendered(Replacing(), replicas=0)])
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


def test_a_field_that_the_sdk_does_not_know_is_named() -> None:
    bare = rendered(Replacing())
    said = read([merged(bare, {"spec": {"predictor": change}}) for change, _ in UNFIT])
    for (_, field), told in zip(UNFIT, said, strict=True):
        assert field in told["refused"]


def test_sdk_and_definition_are_of_one_version() -> None:
    assert f"kserve=={VERSION.removeprefix('v')} " in sdk.LOCK.read_text()
