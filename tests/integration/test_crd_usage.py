"""The CRDs as people meet them: kubectl scale, wait, get, explain, and the status subresource."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.integration.crd_cases import deployment, hugging_face, weights
from tests.integration.rawapi import RawApi
from tests.support.cluster import Cluster, ClusterError

pytestmark = pytest.mark.cluster


@pytest.fixture
def served(api: RawApi) -> Iterator[str]:
    assert api.create(deployment("served"), dry_run=False).status == 201
    yield "served"
    api.delete("LlamaDeployment", "served")


@pytest.fixture
def fetched(api: RawApi) -> Iterator[str]:
    made = weights("fetched", **hugging_face(repo="o/r"))
    assert api.create(made, dry_run=False).status == 201
    yield "fetched"
    api.delete("LlamaWeights", "fetched")


CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Serving",
    "message": "1 of 1 replicas answer",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
    "observedGeneration": 1,
}


def test_scale(api: RawApi, api_cluster: Cluster, served: str) -> None:
    api.merge_status("LlamaDeployment", served, {"replicas": 1, "selector": "a=b"})
    api_cluster.kubectl("scale", f"llama/{served}", "--replicas=3", "--current-replicas=1")
    assert api.get("LlamaDeployment", served)["spec"]["replicas"] == 3
    raw = api_cluster.kubectl("get", f"llama/{served}", "--subresource=scale", "-o", "json")
    scale = json.loads(raw)
    assert scale["spec"]["replicas"] == 3
    assert scale["status"] == {"replicas": 1, "selector": "a=b"}
    with pytest.raises(ClusterError, match="greater than or equal to 0"):
        api_cluster.kubectl(
            "patch",
            "llama",
            served,
            "--subresource=scale",
            "--type=merge",
            "-p",
            '{"spec":{"replicas":-1}}',
        )


def test_status_is_written_through_its_subresource_only(api: RawApi, served: str) -> None:
    status = {"observedGeneration": 1, "conditions": [CONDITION]}
    api.merge("LlamaDeployment", served, {"status": status}, dry_run=False)
    assert "status" not in api.get("LlamaDeployment", served)
    before = api.get("LlamaDeployment", served)["metadata"]["generation"]
    assert api.merge_status("LlamaDeployment", served, status).status == 200
    after = api.get("LlamaDeployment", served)
    assert after["status"] == status
    assert after["metadata"]["generation"] == before


def test_kubectl_wait_sees_ready(api: RawApi, api_cluster: Cluster, served: str) -> None:
    api.merge_status("LlamaDeployment", served, {"conditions": [CONDITION]})
    out = api_cluster.kubectl("wait", "--for=condition=Ready", f"llama/{served}", "--timeout=5s")
    assert "condition met" in out


def test_kubectl_waits_for_a_field(api: RawApi, api_cluster: Cluster, served: str) -> None:
    api.merge_status("LlamaDeployment", served, {"conditions": [CONDITION], "readyReplicas": 1})
    field = "--for=jsonpath={.status.readyReplicas}=1"
    out = api_cluster.kubectl("wait", field, f"llama/{served}", "--timeout=5s")
    assert "condition met" in out


def test_columns_of_deployments(api: RawApi, api_cluster: Cluster, served: str) -> None:
    status = {
        "conditions": [CONDITION],
        "replicas": 1,
        "plan": {"gpus": 8, "tensorParallel": 8},
        "endpoint": {"url": "http://served.default.svc:8000/v1"},
    }
    assert api.merge_status("LlamaDeployment", served, status).status == 200
    head, row = api_cluster.kubectl("get", "llamas", served).splitlines()
    assert head.split() == ["NAME", "READY", "REPLICAS", "MODEL", "GPUS", "AGE"]
    assert row.split()[:5] == ["served", "True", "1", "llama-3.1-8b-instruct", "8"]
    head, row = api_cluster.kubectl("get", "llama", served, "-o", "wide").splitlines()
    assert head.split()[5:8] == ["TP", "REASON", "ENDPOINT"]
    assert row.split()[5:8] == ["8", "Serving", "http://served.default.svc:8000/v1"]


def test_columns_of_weights(api: RawApi, api_cluster: Cluster, fetched: str) -> None:
    status = {"bytes": 16, "usedByCount": 2, "progress": {"phase": "Fetching"}}
    assert api.merge_status("LlamaWeights", fetched, status).status == 200
    head, row = api_cluster.kubectl("get", "lw", fetched).splitlines()
    assert head.split() == ["NAME", "READY", "MODEL", "SOURCE", "PROGRESS", "SIZE", "USED", "AGE"]
    assert row.split()[:6] == ["fetched", "llama-3.1-8b-instruct", "o/r", "Fetching", "16", "2"]


def test_names_and_category(api_cluster: Cluster, served: str) -> None:
    for name in ("llamadeployments", "llamadeployment", "llama", "llamas", "inference"):
        assert f"{served}" in api_cluster.kubectl("get", name, "-o", "name")
    for name in ("llamaweights", "llamaweight", "lw"):
        api_cluster.kubectl("get", name)


def test_objects_can_be_found_by_model(api_cluster: Cluster, served: str) -> None:
    by = "--field-selector=spec.model="
    assert served in api_cluster.kubectl("get", "llama", f"{by}llama-3.1-8b-instruct", "-o", "name")
    assert api_cluster.kubectl("get", "llama", f"{by}other", "-o", "name") == ""


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("llama.spec.gpu.count", "GPUs of ONE replica, exactly"),
        ("llama.spec.scheduling.affinity.nodeAffinity", "nodes that pods may run on"),
        ("llama.status.plan.perGpu.kvCacheBytes", "Keys and values"),
        ("lw.spec.source.huggingFace.tokenSecretRef.key", "Default token"),
    ],
)
def test_explain(api_cluster: Cluster, path: str, words: str) -> None:
    assert words in " ".join(api_cluster.kubectl("explain", path).split())


def test_schemas_are_structural_and_rules_within_cost(api_cluster: Cluster) -> None:
    """Too dear a rule is refused when the CRD is applied, so the fixture has shown it; here the
    server's own verdict on the schema is read back."""
    for item in json.loads(api_cluster.kubectl("get", "crd", "-o", "json"))["items"]:
        states = {each["type"]: each["status"] for each in item["status"]["conditions"]}
        assert states["Established"] == states["NamesAccepted"] == "True"
        assert states.get("NonStructuralSchema", "False") == "False"
