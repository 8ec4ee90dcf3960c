"""Which nodes a copy can be mounted on, and whether the servers fit there.

A claim that only one node may mount does not tell the scheduler so: the second pod lands on
another node and waits for the volume for ever. So servers of such a copy are kept together, and
more of them than a node has GPUs for are refused before they hang.
"""

from __future__ import annotations

from llama_operator.api.conditions import Condition
from llama_operator.planner.plan import Plan
from llama_operator.reconcile import specs
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.render.claim import users_claim

_MANY = ("ReadWriteMany", "ReadOnlyMany")
_ONE_POD = "ReadWriteOncePod"
_COUNT = "nvidia.com/gpu.count"
_FIX = (
    "use a claim that is ReadWriteMany or ReadOnlyMany (spec.storage.accessModes, with a class "
    "that offers it)"
)


def claim_name(weights: Object) -> str:
    """The claim that the user has named for a copy, for storage or as the source; "" for none."""
    spec = specs.weights.of(weights)
    placed = spec.source.claim if spec.source else None
    if placed is not None and weights.get("status", {}).get("path") == placed.path:
        return placed.name
    return users_claim(spec.storage)


def modes(view: DeploymentView) -> tuple[str, ...]:
    """Access modes of the claim of the copy; () where they are not known."""
    if view.weights is None:
        return ()
    if claim_name(view.weights):
        found = (view.claim or {}).get("spec", {}).get("accessModes", ())
        return tuple(str(each) for each in found)
    storage = specs.weights.of(view.weights).storage
    return tuple(storage.access_modes if storage else ()) or ("ReadWriteOnce",)


def storage_class(view: DeploymentView) -> str:
    """Class of the claim of the copy; "" is the cluster's default."""
    if view.weights is None:
        return ""
    if claim_name(view.weights):
        return str((view.claim or {}).get("spec", {}).get("storageClassName") or "")
    storage = specs.weights.of(view.weights).storage
    return (storage.storage_class_name if storage else "") or ""


def one_node(view: DeploymentView) -> bool:
    """Whether all pods with this copy must run on one node."""
    found = modes(view)
    return bool(found) and not any(each in _MANY for each in found)


def one_pod(view: DeploymentView) -> bool:
    """Whether no second pod may mount the copy."""
    return modes(view) == (_ONE_POD,)


def too_many(view: DeploymentView, plan: Plan) -> Condition | None:
    """`WeightsReady`, where the servers that are asked for cannot all mount the copy."""
    replicas = view.spec.replicas
    if not one_node(view):
        return None
    if plan.nodes > 1:
        return _unusable(
            f"spec.sizing.nodes: the plan is for {plan.nodes} nodes, and only one node may mount the "
            f"claim of the weights; {_FIX}, or set spec.sizing.nodes to 1"
        )
    if replicas < 2:
        return None
    if one_pod(view):
        return _unusable(
            f"spec.replicas: the claim is {_ONE_POD}, and {replicas} replicas need it; {_FIX}"
        )
    room = _gpus_of_a_node(view, plan)
    if not room or replicas * plan.gpus <= room:
        return None
    fitting = room // plan.gpus
    less = f", or set spec.replicas to {fitting}" if fitting else ""
    return _unusable(
        f"spec.replicas: {replicas} replicas of {plan.gpus} GPUs do not fit on one node of {room}, "
        f"and the claim is ReadWriteOnce: one node may mount it; {_FIX}{less}"
    )


def wall(view: DeploymentView, plan: Plan) -> tuple[int, str]:
    """The most servers that can mount the copy, and why; 0 where nothing limits them."""
    if not one_node(view):
        return 0, ""
    if one_pod(view):
        return 1, f"the claim is {_ONE_POD}"
    room = _gpus_of_a_node(view, plan)
    return room // plan.gpus, f"the claim is ReadWriteOnce, and a node has {room}"


def _gpus_of_a_node(view: DeploymentView, plan: Plan) -> int:
    """Of the largest node with the planned GPU; 0 where no label tells."""
    return max(gpu_counts(view, plan), default=0)


def gpu_counts(view: DeploymentView, plan: Plan) -> list[int]:
    """GPUs of each node with the planned product whose label tells them."""
    return [
        int(labels[_COUNT])
        for labels in (node["metadata"].get("labels", {}) for node in view.nodes)
        if labels.get("nvidia.com/gpu.product") == plan.gpu_product
        and labels.get(_COUNT, "").isdigit()
    ]


def _unusable(message: str) -> Condition:
    return Condition("WeightsReady", "False", "VolumeNotUsable", message)
