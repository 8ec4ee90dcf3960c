"""What a server asks of a node: GPUs exactly, CPU and memory as the plan computed them."""

from __future__ import annotations

from llama_operator.api import labels
from llama_operator.api.quantity import format_bytes, format_cpu
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.api.wire import as_dict
from llama_operator.render import devices
from llama_operator.render.inputs import Object, Serving
from llama_operator.render.meta import selector

QUOTA_OF_CLASSES = "resource.k8s.io/devices"
PRODUCT_LABEL = "nvidia.com/gpu.product"
_RESOURCE_OF_DEVICE = {"cuda": "nvidia.com/gpu", "rocm": "amd.com/gpu", "cpu": ""}


def gpu_resource(spec: LlamaDeploymentSpec) -> str:
    """The extended resource that counts the replica's GPUs; empty on a CPU unless asked for.

    The name of the DeviceClass where GPUs are claimed of one: none of a resource is like it.
    """
    return spec.gpu.device_class_name or _extended(spec)


def _extended(spec: LlamaDeploymentSpec) -> str:
    return spec.gpu.resource_name or _RESOURCE_OF_DEVICE[spec.engine.device]


def quota_of(spec: LlamaDeploymentSpec) -> str:
    """The entry of a ResourceQuota that limits the GPUs."""
    claimed = spec.gpu.device_class_name
    return f"{claimed}.deviceclass.{QUOTA_OF_CLASSES}" if claimed else f"requests.{_extended(spec)}"


def engine_resources(serving: Serving) -> Object:
    """Requests and limits of the engine's container; the user's values win, name by name."""
    host = serving.plan.host
    requests = {
        "cpu": format_cpu(host.cpu_millis),
        "memory": format_bytes(host.memory_bytes),
        "ephemeral-storage": format_bytes(host.ephemeral_bytes),
    }
    user = as_dict(serving.spec.engine.resources)
    gpus = _gpus(serving)
    merged = {
        "requests": {**requests, **user.get("requests", {}), **gpus},
        "limits": {**user.get("limits", {}), **gpus},
        **devices.in_container(serving),
    }
    return {key: value for key, value in merged.items() if value}


def _gpus(serving: Serving) -> dict[str, str]:
    spec, plan = serving.spec, serving.plan
    resource = "" if spec.gpu.device_class_name else _extended(spec)
    fabric = dict(serving.settings.group_resources) if plan.nodes > 1 else {}
    return {**fabric, resource: str(plan.gpus // plan.nodes)} if resource else fabric


def tolerations(spec: LlamaDeploymentSpec) -> list[Object]:
    """GPU nodes are tainted with the resource's name as a rule: tolerated always."""
    resource = _extended(spec)
    own = [{"key": resource, "operator": "Exists", "effect": "NoSchedule"}] if resource else []
    return own + [as_dict(entry) for entry in spec.scheduling.tolerations]


def node_selector(spec: LlamaDeploymentSpec, planned: str) -> dict[str, str]:
    """The user's, and the GPU product that the plan was made for, unless a claim asks for that."""
    product = planned if spec.engine.device == "cuda" and not spec.gpu.device_class_name else ""
    own = {PRODUCT_LABEL: product} if product and not spec.gpu.memory else {}
    return {**own, **spec.scheduling.node_selector}


def spread(serving: Serving) -> list[Object]:
    """The user's topology spread; without a selector it counts this deployment's servers."""
    own = {"labelSelector": {"matchLabels": selector(serving.owner, labels.SERVER)}}
    return [{**own, **entry} for entry in serving.spec.scheduling.topology_spread_constraints]
