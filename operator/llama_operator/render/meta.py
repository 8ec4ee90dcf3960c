"""Metadata that every child carries: its owner, its labels, and a hash of what was intended."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from llama_operator.api import labels
from llama_operator.api.v1alpha1 import GROUP, VERSION, LlamaDeploymentSpec
from llama_operator.render.canonical import canonical
from llama_operator.render.inputs import Object, Owner

NAME_LIMIT = 63


def owner_reference(owner: Owner) -> Object:
    """A controller reference: the garbage collector removes the child with its owner."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def child_labels(owner: Owner, component: str) -> dict[str, str]:
    """Recommended labels, and the one that names the owner."""
    own = labels.DEPLOYMENT if owner.kind == "LlamaDeployment" else labels.WEIGHTS
    return {
        labels.NAME: "llama-operator",
        labels.INSTANCE: owner.name,
        labels.COMPONENT: component,
        labels.MANAGED_BY: labels.MANAGED_BY_VALUE,
        own: owner.name,
    }


def unwatched_labels(owner: Owner, component: str) -> dict[str, str]:
    """Those of a pod beside servers: what is managed by the operator is watched and judged as one."""
    every = child_labels(owner, component)
    del every[labels.MANAGED_BY]
    return every


def unscraped(spec: LlamaDeploymentSpec) -> dict[str, str]:
    """The label of pods that no PodMonitor of the chart may scrape; none where they may."""
    return {} if spec.observability.pod_monitor else {labels.SCRAPED: "false"}


def selector(owner: Owner, component: str) -> dict[str, str]:
    """The labels that select an owner's pods: few, since a selector can never change."""
    everything = child_labels(owner, component)
    own = labels.DEPLOYMENT if owner.kind == "LlamaDeployment" else labels.WEIGHTS
    return {key: everything[key] for key in (own, labels.COMPONENT)}


def selector_of(owner: Owner, *components: str) -> Object:
    """The same as a selector of pods of any of several components."""
    own = selector(owner, components[0])
    del own[labels.COMPONENT]
    within = {"key": labels.COMPONENT, "operator": "In", "values": list(components)}
    return {"matchLabels": own, "matchExpressions": [within]}


def metadata(owner: Owner, name: str, component: str) -> Object:
    """Metadata of a child of `owner`."""
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": child_labels(owner, component),
        "ownerReferences": [owner_reference(owner)],
    }


def digest(value: Any, length: int = 10) -> str:
    """A short, stable hash of any JSON value."""
    return hashlib.sha256(canonical(value)).hexdigest()[:length]


def stamped(obj: Object) -> Object:
    """The object with a hash of itself, by which an unchanged intent is recognised."""
    meta = dict(obj["metadata"])
    meta["annotations"] = {**meta.get("annotations", {}), labels.INTENT_HASH: digest(obj, 16)}
    return {**obj, "metadata": meta}


def hashed_name(name: str, purpose: str, inputs: Mapping[str, Any]) -> str:
    """A name for an object whose template can never change: new inputs give a new name."""
    tail = f"-{purpose}-{digest({'name': name, **inputs}, 8)}"
    return name[: NAME_LIMIT - len(tail)].rstrip("-.") + tail
