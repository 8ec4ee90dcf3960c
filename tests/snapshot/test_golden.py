"""What each example becomes, line by line: a change of a rendered object is seen in review.

UPDATE_GOLDEN=1 writes the files anew.
"""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from tests.support.builders import (
    COMMIT,
    DIGEST,
    SMOLLM2,
    SMOLLM2_BYTES,
    deployment_view,
    weights_view,
    world,
)

from llama_operator import compilecache, guard, sources, warmup
from llama_operator.api.template import server_template
from llama_operator.guard import adapters
from llama_operator.reconcile import source
from llama_operator.reconcile.actions import Apply
from llama_operator.reconcile.decide import decide
from llama_operator.reconcile.snapshot import SecretView
from llama_operator.render import render, secret
from llama_operator.render.inputs import Owner
from llama_operator.render.weights import weights

Object = dict[str, Any]
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
GOLDEN = Path(__file__).parent / "golden"
MODELS: dict[str, Any] = {
    kind: getattr(client, f"V1{kind}")
    for kind in (
        "Service", "NetworkPolicy", "PodDisruptionBudget", "Deployment", "Job", "Secret",
        "PersistentVolumeClaim", "ServiceAccount", "Role", "RoleBinding", "ControllerRevision",
        "ConfigMap", "Ingress", "ResourceClaimTemplate",
    )
}  # fmt: skip


def example(path: Path) -> Object:
    """The object, as the API server would hold it."""
    raw: Object = yaml.safe_load(path.read_text())
    raw["metadata"] |= {"namespace": "default", "uid": "uid-of-the-example", "generation": 1}
    return raw


def copy_of(raw: Object) -> Object:
    """Its LlamaWeights, ready."""
    view = deployment_view(raw)
    model = view.world.catalog.find(view.spec.model)
    size = model.weights_bytes if model else SMOLLM2_BYTES
    made = weights("default", view.spec)
    made["metadata"]["uid"] = "uid-of-the-weights"
    made["status"] = {"commit": COMMIT, "bytes": size, "shape": SMOLLM2}
    wish = source.fetching(weights_view(made))
    made["status"] |= {
        "claimName": wish.claim,
        "path": wish.path,
        "digest": DIGEST,
        "conditions": [{"type": "Ready", "status": "True", "reason": "Published", "message": ""}],
    }
    return made


def rendered(path: Path) -> tuple[str, list[Object]]:
    """What Planned says, and every object that is made of an example."""
    raw = example(path)
    copy = copy_of(raw)
    key = SecretView("key", True, frozenset({"default"}), frozenset({"uid-of-the-example"}))
    # No node, so that a plan hangs on the example alone.
    env = world(nodes=(), lws=("v1",), kserve=("v1beta1",), routes=("v1",), pools=("v1",))
    decision = decide(deployment_view(raw, weights=copy, key=key, world=env))
    said = decision.judgement.condition
    owner = Owner("LlamaDeployment", "default", raw["metadata"]["name"], "uid-of-the-example")
    wish = source.fetching(weights_view(copy))
    fetching = [*render.preflight_objects(wish), *render.fetch_objects(wish)]
    kinds = ("PersistentVolumeClaim", "ConfigMap")
    applied = [each.obj for each in decision.actions if isinstance(each, Apply)]
    lora = [obj for obj in applied if obj["kind"] in kinds]
    made = [copy, secret.api_key_secret(owner, "KEY"), *fetching, *lora, *decision.desired]
    refused = said.status != "True"
    return f"{said.status} {said.reason}: {said.message}", [] if refused else made


PROGRAMS = (
    *(guard.FILE, guard.CANARY_FILE, guard.LAUNCHER_FILE),
    *(adapters.FILE, warmup.FILE, compilecache.FILE),
)


def as_text(said: str, objects: list[Object]) -> str:
    # Through JSON, so that shared parts are written out and not as YAML anchors. Programs are
    # files of their own, and the hash of a template is that of what it carries.
    made = json.dumps(objects)
    for file in PROGRAMS:
        made = made.replace(json.dumps(sources.carried(file)), f'"<{file.name}>"')
    plain = json.loads(made)
    return f"# Planned: {said}\n" + yaml.safe_dump_all(plain, sort_keys=False, width=100)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_renders_as_committed(path: Path) -> None:
    text, golden = as_text(*rendered(path)), GOLDEN / f"{path.stem}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert golden.is_file(), "UPDATE_GOLDEN=1 makes it"
    diff = difflib.unified_diff(
        golden.read_text().splitlines(), text.splitlines(), str(golden), "rendered", lineterm=""
    )
    assert not (lines := list(diff)), "\n".join(lines)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_what_is_rendered_is_valid_for_the_typed_models(path: Path) -> None:
    for obj in rendered(path)[1]:
        if obj["kind"] == "LeaderWorkerSet":
            parts = obj["spec"]["leaderWorkerTemplate"]
            for name in ("leaderTemplate", "workerTemplate"):
                client.V1PodTemplateSpec.model_validate(parts[name])
        elif obj["kind"] == "InferenceService":
            # KServe's own models are asked in tests/kserve.
            client.V1PodTemplateSpec.model_validate(server_template(obj))
        elif obj["kind"] not in ("LlamaWeights", "HTTPRoute", "InferencePool"):
            MODELS[obj["kind"]].model_validate(obj)


def test_every_golden_file_has_its_example() -> None:
    stems = {path.stem for path in EXAMPLES}
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == stems
    assert len(stems) >= 5


def test_only_the_example_that_shows_a_refusal_is_refused() -> None:
    refused = [path.stem for path in EXAMPLES if not rendered(path)[1]]
    assert refused == ["smollm2-two-ranks"]
