"""What adapters need besides the servers: a claim, the list of what to load, copies, their removal.

The claim is one of the deployment's own, and not a directory of that of the weights: that one may be
a user's that is only ever read, may be shared with other deployments, and may be full. It has the
class and the access modes of the weights' claim, so that whoever reaches the one reaches the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llama_operator.api import labels
from llama_operator.api.quantity import format_bytes
from llama_operator.api.v1alpha1 import GROUP, VERSION, AdapterSpec, LlamaDeploymentSpec
from llama_operator.api.wire import as_dict
from llama_operator.catalog.catalog import Shape
from llama_operator.guard import adapters as guard
from llama_operator.planner.delivery import volume_bytes
from llama_operator.planner.lora import Lora
from llama_operator.planner.lora import volume_bytes as lora_bytes
from llama_operator.render import jobs, resources
from llama_operator.render.adapting import name_of
from llama_operator.render.inputs import Object, Owner, Settings
from llama_operator.render.meta import digest, hashed_name, metadata, owner_reference, stamped
from llama_operator.render.pod import container_security, pod_security
from llama_operator.render.weights import NAME_LIMIT

_ROOT = "/adapters"


@dataclass(frozen=True)
class Room:
    """What the claim is to be like: that of the weights, but writable by more than one pod."""

    modes: tuple[str, ...]
    storage_class: str
    bytes: int


def needed(shape: Shape, lora: Lora | None) -> int:
    """Bytes of the files of all adapters that there is room for."""
    return lora_bytes(shape, lora) if lora else 0


def claim(owner: Owner, room: Room) -> Object:
    """The claim for all adapters of a deployment; removed with it."""
    spec: Object = {
        "accessModes": list(room.modes),
        "resources": {"requests": {"storage": format_bytes(volume_bytes(room.bytes))}},
    }
    if room.storage_class:
        spec["storageClassName"] = room.storage_class
    meta = metadata(owner, name_of(owner.name), labels.ADAPTER)
    obj = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}
    return stamped(obj)


def listing(owner: Owner, places: Mapping[str, str]) -> Object:
    """The ConfigMap that servers follow: name of each adapter -> its directory on the volume."""
    text = json.dumps(dict(sorted(places.items())), separators=(",", ":"))
    meta = metadata(owner, name_of(owner.name), labels.ADAPTER)
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {guard.LIST: text}}
    return stamped(obj)


def copy_name(deployment: str, adapter: AdapterSpec) -> str:
    """The LlamaWeights of an adapter: another source is another one, another name is not."""
    tail = f"-adapter-{digest({'of': deployment, 'source': as_dict(adapter.source)}, 8)}"
    return deployment[: NAME_LIMIT - len(tail)].rstrip("-") + tail


def copy(owner: Owner, spec: LlamaDeploymentSpec, adapter: AdapterSpec, product: str) -> Object:
    """The LlamaWeights that fetches an adapter onto the deployment's claim.

    It goes with the deployment, as the claim does. Its Job is wanted where the servers are: a
    volume that only one node can mount is there.
    """
    reference = {**owner_reference(owner), "controller": False, "blockOwnerDeletion": False}
    placement = {
        "nodeSelector": resources.node_selector(spec, product),
        "tolerations": resources.tolerations(spec),
        "affinity": _beside(owner, spec),
    }
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "LlamaWeights",
        "metadata": {
            "name": copy_name(owner.name, adapter),
            "namespace": owner.namespace,
            "labels": {
                labels.MANAGED_BY: labels.MANAGED_BY_VALUE,
                labels.DEPLOYMENT: owner.name,
            },
            "ownerReferences": [reference],
        },
        "spec": {
            "model": spec.model,
            "adapter": True,
            "source": as_dict(adapter.source),
            "storage": {"claimName": name_of(owner.name)},
            "fetch": {key: value for key, value in placement.items() if value},
        },
    }


def _beside(owner: Owner, spec: LlamaDeploymentSpec) -> Object:
    user = spec.scheduling.affinity
    servers = {labels.DEPLOYMENT: owner.name, labels.COMPONENT: labels.SERVER}
    term = {
        "labelSelector": {"matchLabels": servers},
        "topologyKey": "kubernetes.io/hostname",
    }
    pods = dict(user.get("podAffinity", {}))
    kind = "preferredDuringSchedulingIgnoredDuringExecution"
    pods[kind] = [*pods.get(kind, ()), {"weight": 100, "podAffinityTerm": term}]
    return {**user, "podAffinity": pods}


def removal_name(owner: Owner, path: str) -> str:
    """Name of the Job that removes a directory."""
    return hashed_name(owner.name, "unload", {"path": path})


def removal(
    owner: Owner, spec: LlamaDeploymentSpec, settings: Settings, path: str, product: str
) -> Object:
    """The Job that removes the directory of an adapter that no server has loaded."""
    container = {
        "name": "remove",
        "image": settings.weights_image,
        "command": ["llama-weights"],
        "args": ["gc", _ROOT, f"--remove={path}", "--yes"],
        "env": [jobs.HOME],
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "512Mi"},
        },
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod's own
            {"name": "adapters", "mountPath": _ROOT},
        ],
    }
    name = removal_name(owner, path)
    return stamped(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata(owner, name, labels.ADAPTER),
            "spec": {
                "backoffLimit": jobs.RETRIES,
                "template": {
                    # Without our labels: it is no server, and is not watched as one.
                    "metadata": {"labels": {labels.NAME: "llama-operator", labels.INSTANCE: name}},
                    "spec": _removal_pod(owner, spec, settings, container, product),
                },
            },
        }
    )


def _removal_pod(
    owner: Owner, spec: LlamaDeploymentSpec, settings: Settings, container: Object, product: str
) -> Object:
    claim_volume = {"claimName": name_of(owner.name)}
    placement: Object = {
        "nodeSelector": resources.node_selector(spec, product),
        "affinity": _beside(owner, spec),
        "runtimeClassName": settings.weights_runtime_class,
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(settings.user_id),
        "containers": [container],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "adapters", "persistentVolumeClaim": claim_volume},
        ],
        "tolerations": resources.tolerations(spec),
        **{key: value for key, value in placement.items() if value},
    }


def names(deployment: str, wanted: Iterable[AdapterSpec]) -> list[str]:
    """The LlamaWeights that a deployment's adapters come from."""
    return sorted({copy_name(deployment, each) for each in wanted})
