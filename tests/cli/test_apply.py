"""apply: documents read from anywhere, judged before anything is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import DEPLOYMENTS, WEIGHTS, Run
from tests.cli.fake_api import Answer, Fake, status
from tests.cli.objects import ready
from tests.cli.patching import takes_patches, writes

API = "llamactl.dev/v1alpha1"
LLAMA: dict[str, Any] = {
    "apiVersion": API,
    "kind": "LlamaDeployment",
    "metadata": {"name": "my-llama"},
    "spec": {"model": "llama-3.1-8b-instruct", "replicas": 2},
}
COPY: dict[str, Any] = {
    "apiVersion": API,
    "kind": "LlamaWeights",
    "metadata": {"name": "the-8b"},
    "spec": {"model": "llama-3.1-8b-instruct"},
}


def written(path: Path, *documents: Any) -> Path:
    path.write_text(yaml.safe_dump_all(documents))
    return path


@pytest.fixture
def cluster(api: Fake) -> Fake:
    api.rules.append(takes_patches)
    return api


def test_both_kinds_are_made(llamactl: Run, cluster: Fake, tmp_path: Path) -> None:
    result = llamactl("apply", "-f", written(tmp_path / "all.yaml", COPY, LLAMA))
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "llamaweights.llamactl.dev/the-8b created\nllamadeployment.llamactl.dev/my-llama created\n"
    )
    assert writes(cluster) == [f"{WEIGHTS}/the-8b", f"{DEPLOYMENTS}/my-llama"]
    assert cluster.objects[f"{DEPLOYMENTS}/my-llama"]["spec"] == LLAMA["spec"]


def test_the_same_again_is_unchanged_and_a_change_is_shown(
    llamactl: Run, cluster: Fake, tmp_path: Path
) -> None:
    cluster.put(f"{DEPLOYMENTS}/my-llama", ready(spec={"replicas": 2}))
    path = written(tmp_path / "a.yaml", LLAMA)
    assert llamactl("apply", "-f", path).stdout.endswith("my-llama unchanged\n")
    more = {**LLAMA, "spec": {**LLAMA["spec"], "engine": {"args": ["--seed=1"]}}}
    result = llamactl("apply", "-f", written(path, more), "--dry-run=server")
    assert result.stdout.endswith("my-llama changed (server dry run)\n")
    assert "spec.engine: not set -> {'args': ['--seed=1']}" in result.stderr
    assert "All 2 servers restart" in result.stderr
    assert writes(cluster) == [f"{DEPLOYMENTS}/my-llama"], "only the first, unchanged one"


def test_stdin_and_lists(llamactl: Run, cluster: Fake) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [COPY, LLAMA]})
    result = llamactl("apply", "-f", "-", "-o", "name", input=text)
    assert result.stdout.split() == [
        "llamaweights.llamactl.dev/the-8b", "llamadeployment.llamactl.dev/my-llama",
    ]  # fmt: skip


def test_what_deploy_prints_can_be_applied(llamactl: Run, cluster: Fake) -> None:
    text = llamactl("deploy", "8b", "--gpus", 1, "--dry-run=client").stdout
    result = llamactl("apply", "-f", "-", input=text)
    assert result.exit_code == 0, result.output
    assert cluster.objects[f"{DEPLOYMENTS}/llama-3-1-8b-instruct"]["spec"]["gpu"] == {"count": 1}


def test_a_device_class_is_named_in_one_option(llamactl: Run) -> None:
    given = ("--device-class", "gpu.nvidia.com", "--dry-run=client", "-o", "json")
    found = json.loads(llamactl("deploy", "8b", "--gpus", 1, *given).stdout)
    assert found["spec"]["gpu"] == {"count": 1, "deviceClassName": "gpu.nvidia.com"}
    refused = llamactl("deploy", "8b", "--device-class", "GPU!", "--dry-run=client")
    assert refused.exit_code == 2
    assert "spec.gpu.deviceClassName" in refused.stderr


def test_what_a_cluster_holds_can_be_applied(llamactl: Run, cluster: Fake, tmp_path: Path) -> None:
    """Server-side apply refuses managedFields; status is not ours to write."""
    bodies: list[dict[str, Any]] = []
    cluster.rules.insert(0, lambda _, m, __, body: bodies.append(body) if m == "PATCH" else None)
    assert llamactl("apply", "-f", written(tmp_path / "a.yaml", ready())).exit_code == 0
    assert all(set(body) == {"apiVersion", "kind", "metadata", "spec"} for body in bodies)
    assert all(set(body["metadata"]) == {"name", "namespace"} for body in bodies)


def test_a_refused_document_leaves_the_others_unwritten(
    llamactl: Run, cluster: Fake, tmp_path: Path
) -> None:
    def refuse(_: Fake, method: str, path: str, __: dict[str, Any]) -> Answer | None:
        bad = method == "PATCH" and path.startswith(DEPLOYMENTS)
        return (422, status(422, "Invalid", "is invalid")) if bad else None

    cluster.rules.insert(0, refuse)
    result = llamactl("apply", "-f", written(tmp_path / "all.yaml", COPY, LLAMA))
    assert result.exit_code == 1
    assert writes(cluster) == []


def changed(**spec: Any) -> dict[str, Any]:
    return {**LLAMA, "spec": {**LLAMA["spec"], **spec}}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (changed(gpus={"count": 1}), "spec.gpus: there is no such field. There is gpu"),
        (changed(gpu={"counts": 1}), "spec.gpu.counts: there is no such field"),
        (changed(engine={"env": [{"name": "A", "valu": "1"}]}), "spec.engine.env[0].valu: "),
        (changed(replicas=-1), "spec.replicas: input should be greater than or equal to 0, not -1"),
        (changed(engine={"args": ["--api-key=x"]}), "--api-key=x is set by the operator"),
        (changed(engine={"env": [{"name": "LD_PRELOAD", "value": "x"}]}), "spec.engine.env: LD_"),
        (changed(source={"meta": {"urlSecretRef": {"name": "a"}}, "claim": {"name": "b"}}),
         "spec.source: has meta and claim"),
        (changed(model="8b"), "spec.model: '8b' is a short form"),
        ({**LLAMA, "metadata": {"name": "8b"}}, "metadata.name: '8b' must be"),
        ({**LLAMA, "metadata": {}}, "metadata.name: it has no name"),
        ({**LLAMA, "kind": "Deployment"}, "this is a Deployment of llamactl.dev/v1alpha1"),
        ({**LLAMA, "apiVersion": "llamactl.dev/v1"}, "of llamactl.dev/v1. "),
        ({**LLAMA, "spec": None}, "it has no spec"),
        ([1], "this is no object"),
    ],
)  # fmt: skip
def test_a_typing_mistake_is_found_without_a_cluster(
    llamactl: Run, tmp_path: Path, document: Any, words: str
) -> None:
    path = written(tmp_path / "a.yaml", COPY, document)
    result = llamactl("apply", "-f", path, "--dry-run=client")
    assert result.exit_code == 2
    assert words in result.stderr.replace(".\n", ". ")
    assert f"{path}, document 2" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: [", "line 1: this is not YAML"), ("", "has no LlamaDeployment and no LlamaWeights")],
)
def test_a_file_of_no_use(llamactl: Run, tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    result = llamactl("apply", "-f", path)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_file_that_is_no_text(llamactl: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    result = llamactl("apply", "-f", tmp_path / "a.yaml")
    assert result.exit_code == 2
    assert "is not text" in result.stderr


def test_the_same_object_twice(llamactl: Run, tmp_path: Path) -> None:
    result = llamactl("apply", "-f", written(tmp_path / "a.yaml", LLAMA, LLAMA))
    assert result.exit_code == 2
    assert "LlamaDeployment my-llama is in" in result.stderr


def test_namespaces(llamactl: Run, cluster: Fake, tmp_path: Path) -> None:
    named = {**LLAMA, "metadata": {"name": "my-llama", "namespace": "team"}}
    path = written(tmp_path / "a.yaml", named)
    refused = llamactl("apply", "-f", path, "-n", "other")
    assert refused.exit_code == 2
    assert "metadata.namespace: it is 'team', and -n says 'other'" in refused.stderr
    assert llamactl("apply", "-f", path).exit_code == 0
    assert [path.split("/")[5] for path in writes(cluster)] == ["team"]


def test_client_dry_run_shows_plan_and_manifest(llamactl: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "a.yaml", changed(gpu={"product": "NVIDIA-L4"}))
    result = llamactl("apply", "-f", path, "--dry-run=client", "-o", "yaml")
    assert yaml.safe_load(result.stdout)["spec"]["gpu"] == {"product": "NVIDIA-L4"}
    assert "my-llama: Plan: tensor parallel 1 on 1 GPU NVIDIA-L4" in result.stderr
    lines = llamactl("apply", "-f", path, "--dry-run=client").stdout
    assert lines == "llamadeployment.llamactl.dev/my-llama is valid (client dry run)\n"


def test_a_plan_that_cannot_be_is_refused_before_anything_is_sent(
    llamactl: Run, cluster: Fake, tmp_path: Path
) -> None:
    document = changed(gpu={"product": "NVIDIA-H100-80GB-HBM3", "count": 3})
    result = llamactl("apply", "-f", written(tmp_path / "a.yaml", document))
    assert result.exit_code == 1
    assert "not divisible by 3" in result.stderr
    assert writes(cluster) == []


def test_a_model_that_only_the_operator_may_know(
    llamactl: Run, cluster: Fake, tmp_path: Path
) -> None:
    result = llamactl("apply", "-f", written(tmp_path / "a.yaml", changed(model="our-own")))
    assert result.exit_code == 0, result.output
    assert "our-own is in no catalogue that this command has" in result.stderr
