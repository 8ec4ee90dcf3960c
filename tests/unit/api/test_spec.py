"""Reading specs: what is left out, what is unknown, what is wrong."""

from typing import Any

import pytest
from pydantic import ValidationError

from llama_operator.api.v1alpha1 import (
    LlamaDeploymentSpec,
    LlamaDeploymentStatus,
    LlamaWeightsSpec,
    LlamaWeightsStatus,
)


def deployment(**spec: Any) -> LlamaDeploymentSpec:
    return LlamaDeploymentSpec.model_validate({"model": "llama-3.1-8b-instruct", **spec})


def test_only_the_model_is_required() -> None:
    spec = deployment()
    assert (spec.replicas, spec.auth.mode, spec.endpoint.port) == (1, "APIKey", 8000)
    assert (spec.drain.timeout, spec.startup.budget) == ("60s", "auto")
    assert [spec.source, spec.storage, spec.retention, spec.weights_ref] == [None] * 4
    with pytest.raises(ValidationError, match="model"):
        LlamaDeploymentSpec.model_validate({})


def test_empty_text_and_null_read_as_left_out() -> None:
    spec = deployment(
        engine={"image": "", "version": None},
        gpu={"product": "", "count": None},
        runtimeClassName="",
        storage={"claimName": "", "size": ""},
        endpoint=None,
    )
    assert [spec.engine.image, spec.engine.version, spec.runtime_class_name] == [None] * 3
    assert (spec.gpu.product, spec.gpu.count) == (None, None)
    assert spec.storage is not None
    assert spec.storage.claim_name is spec.storage.size is None
    assert spec.endpoint.port == 8000


@pytest.mark.parametrize(
    ("size", "read"),
    [
        ("40Gi", "40Gi"),
        (1024, "1024"),
        (0, None),
        ("0", None),
        ("1.5Ti", "1.5Ti"),
        ("500e6", "500e6"),
    ],
)
def test_quantities_are_kept_as_text_and_zero_means_auto(size: Any, read: str | None) -> None:
    storage = deployment(storage={"size": size}).storage
    assert storage is not None
    assert storage.size == read


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert deployment(turbo={"on": True}, sizing={"turbo": 2}) == deployment()


def test_specs_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        deployment().replicas = 3  # type: ignore[misc]


def test_kubernetes_leaves_pass_through_as_written() -> None:
    toleration = {"key": "k", "operator": "Exists", "ofTheFuture": {"x": 1}}
    spec = deployment(
        scheduling={"tolerations": [toleration], "affinity": {"nodeAffinity": {}}},
        endpoint={"networkPolicy": {"from": [{"podSelector": {}}]}},
        engine={"env": [{"name": "A", "value": ""}]},
    )
    assert spec.scheduling.tolerations == (toleration,)
    assert spec.scheduling.affinity == {"nodeAffinity": {}}
    assert spec.endpoint.network_policy.from_ == ({"podSelector": {}},)
    assert spec.engine.env == ({"name": "A", "value": ""},)


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": -1},
        {"gpu": {"count": 0}},
        {"gpu": {"memory": "eighty"}},
        {"sizing": {"gpuMemoryUtilization": 1.0}},
        {"sizing": {"gpuMemoryUtilization": 0.05}},
        {"sizing": {"maxModelLen": 0}},
        {"endpoint": {"port": 65536}},
        {"drain": {"timeout": "soon"}},
        {"startup": {"budget": "30"}},
        {"auth": {"mode": "Open"}},
        {"source": {"huggingFace": {"endpoint": "ftp://hub"}}},
        {"source": {"huggingFace": {"endpoint": "http://user:secret@hub"}}},
    ],
)
def test_what_the_server_refuses_is_refused_here_too(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        deployment(**spec)


def test_references_default_to_the_usual_entries() -> None:
    spec = LlamaWeightsSpec.model_validate(
        {
            "model": "m",
            "source": {"huggingFace": {"tokenSecretRef": {"name": "hf"}}},
            "retention": {},
        }
    )
    assert spec.source is not None
    assert spec.source.hugging_face is not None
    assert spec.source.hugging_face.token_secret_ref is not None
    assert spec.source.hugging_face.token_secret_ref.key == "token"
    assert spec.source.hugging_face.revision == "main"
    assert spec.retention is not None
    assert (spec.retention.policy, spec.retention.after_unused) == ("Retain", "24h")
    assert deployment(retention={}).retention.policy == "Delete"  # type: ignore[union-attr]


def test_statuses_read_the_names_of_the_wire() -> None:
    weights = LlamaWeightsStatus.model_validate(
        {"shape": {"numKVHeads": 8}, "usedBy": ["a"], "usedByCount": 1, "progress": {"eta": ""}}
    )
    assert weights.shape is not None
    assert weights.shape.num_kv_heads == 8
    assert weights.model_dump(by_alias=True, exclude_none=True)["shape"] == {"numKVHeads": 8}
    status = LlamaDeploymentStatus.model_validate(
        {"plan": {"gpus": 8, "perGpu": {"kvCacheBytes": 1}, "kvTokens": 2}}
    )
    assert status.plan is not None
    assert status.plan.per_gpu is not None
    assert (status.plan.gpus, status.plan.per_gpu.kv_cache_bytes) == (8, 1)
