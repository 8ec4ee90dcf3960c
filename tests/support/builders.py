"""Builders of objects for tests: a test names what matters to it, the rest is sensible."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from llama_operator.api.v1alpha1 import API_VERSION, LlamaDeploymentSpec, LlamaWeightsSpec
from llama_operator.catalog import catalog
from llama_operator.reconcile import planning
from llama_operator.reconcile.ownership import index
from llama_operator.reconcile.snapshot import DeploymentView, WeightsView, World
from llama_operator.render.inputs import Copy, Owner, Serving, Settings
from llama_operator.render.weights import weights_name

Object = dict[str, Any]
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
H100 = "NVIDIA-H100-80GB-HBM3"
COMMIT = "c" * 40
DIGEST = "sha256:" + "d" * 64
SHAPE = {
    "architecture": "LlamaForCausalLM", "numLayers": 32, "hiddenSize": 4096,
    "numAttentionHeads": 32, "numKVHeads": 8, "headDim": 128, "intermediateSize": 14336,
    "vocabSize": 128256, "maxPosition": 131072, "tiedEmbeddings": False,
    "dtype": "bfloat16", "quantization": "",
}  # fmt: skip
SMOLLM2_BYTES = 269_060_552
# SmolLM2-135M-Instruct, as its config.json says.
SMOLLM2 = {
    **SHAPE, "numLayers": 30, "hiddenSize": 576, "numAttentionHeads": 9, "numKVHeads": 3,
    "headDim": 64, "intermediateSize": 1536, "vocabSize": 49152, "maxPosition": 8192,
    "tiedEmbeddings": True,
}  # fmt: skip


def merged(base: Object, change: Object) -> Object:
    """A deep copy of `base` with `change` laid over it."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        inner = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if inner else value
    return result


def deployment(
    name: str = "web", status: Object | None = None, meta: Object | None = None, **spec: Any
) -> Object:
    """A LlamaDeployment: 8B on one H100 unless said otherwise."""
    base = {"model": "llama-3.1-8b-instruct", "gpu": {"product": H100}}
    return _custom("LlamaDeployment", name, merged(base, spec), status, meta)


def weights(
    name: str = "w", status: Object | None = None, meta: Object | None = None, **spec: Any
) -> Object:
    """A LlamaWeights of 8B."""
    return _custom(
        "LlamaWeights", name, merged({"model": "llama-3.1-8b-instruct"}, spec), status, meta
    )


def _custom(
    kind: str, name: str, spec: Object, status: Object | None, meta: Object | None
) -> Object:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1}
    raw = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": merged(metadata, meta or {}),
        "spec": spec,
    }
    return {**raw, "status": status} if status else raw


def world(**change: Any) -> World:
    """A cluster with a default StorageClass and one H100 node."""
    values: dict[str, Any] = {
        "catalog": catalog.load(),
        "settings": Settings(),
        "nodes": (node(),),
        "storage_classes": (storage_class(),),
        "now": NOW,
    }
    return World(**{**values, **change})


def node(product: str = H100, **node_labels: str) -> Object:
    """A node with GPUs of one product."""
    return {
        "metadata": {"name": "n1", "labels": {"nvidia.com/gpu.product": product, **node_labels}}
    }


def gpu_node(name: str = "n1", gpus: int = 8, **change: Any) -> Object:
    """A node that gives GPUs, and enough of all else."""
    allocatable = {"nvidia.com/gpu": str(gpus), "cpu": "512", "memory": "4Ti", "pods": "110"}
    made: Object = {
        "metadata": {"name": name, "labels": {"nvidia.com/gpu.product": H100}},
        "spec": {},
        "status": {"allocatable": {**allocatable, "ephemeral-storage": "4Ti"}},
    }
    return merged(made, change)


def device(name: str, product: str = "NVIDIA H100 80GB HBM3", kind: str = "gpu") -> Object:
    """A device as NVIDIA's DRA driver tells of it."""
    return {
        "name": name,
        "attributes": {"type": {"string": kind}, "productName": {"string": product}},
        "capacity": {"memory": {"value": "81559Mi"}},
    }


def resource_slice(
    node: str = "n1",
    count: int = 8,
    product: str = "NVIDIA H100 80GB HBM3",
    driver: str = "gpu.nvidia.com",
    generation: int = 1,
) -> Object:
    """A ResourceSlice with the devices of one node."""
    devices = [device(f"gpu-{number}", product) for number in range(count)]
    pool = {"name": node, "generation": generation, "resourceSliceCount": 1}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{driver}-{generation}"},
        "spec": {"driver": driver, "nodeName": node, "pool": pool, "devices": devices},
    }


def storage_class(name: str = "standard", default: bool = True) -> Object:
    """A StorageClass."""
    mark = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": mark}}


# The default class of a cluster in which nobody makes volumes.
DEFAULT_CLASS: Object = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    **storage_class(),
    "provisioner": "example.com/none",
    "volumeBindingMode": "WaitForFirstConsumer",
}


def ready_weights(raw: Object) -> Object:
    """The finished LlamaWeights that a deployment uses."""
    spec = LlamaDeploymentSpec.model_validate(raw["spec"])
    status = {
        "claimName": "claim",
        "path": "llama-3.1-8b-instruct/0123456789abcdef",
        "digest": DIGEST,
        "bytes": 16_060_556_376,
        "conditions": [{"type": "Ready", "status": "True", "reason": "Published", "message": "ok"}],
    }
    return weights(weights_name(spec), status=status)


def deployment_view(
    raw: Object | None = None, children: list[Object] | None = None, **change: Any
) -> DeploymentView:
    """A snapshot of a LlamaDeployment."""
    raw = raw or deployment()
    values: dict[str, Any] = {
        "raw": raw,
        "spec": LlamaDeploymentSpec.model_validate(raw["spec"]),
        "world": world(),
        "children": index(children or []),
    }
    return DeploymentView(**{**values, **change})


def weights_view(
    raw: Object | None = None, children: list[Object] | None = None, **change: Any
) -> WeightsView:
    """A snapshot of a LlamaWeights."""
    raw = raw or weights()
    values: dict[str, Any] = {
        "raw": raw,
        "spec": LlamaWeightsSpec.model_validate(raw["spec"]),
        "world": world(),
        "children": index(children or []),
    }
    return WeightsView(**{**values, **change})


def serving(name: str = "web", **spec: Any) -> Serving:
    """What rendering needs for a deployment that fits."""
    raw = deployment(name, **spec)
    view = deployment_view(raw)
    judged = planning.judge(view.spec, view.world.catalog, view.world.nodes, None)
    if judged.plan is None:
        raise ValueError(judged.condition.message)
    return Serving(
        owner=Owner("LlamaDeployment", "default", name, f"uid-{name}"),
        spec=view.spec,
        plan=judged.plan,
        weights=Copy("w", "claim", "llama-3.1-8b-instruct/0123456789abcdef", 16_060_556_376),
        image=planning.engine_image(view.spec),
        vllm_version=planning.engine_version(view.spec),
    )
