"""The LlamaWeights that a deployment without `weightsRef` shares with its equals."""

from __future__ import annotations

import re

from llama_operator.api import labels
from llama_operator.api.v1alpha1 import GROUP, VERSION, LlamaDeploymentSpec
from llama_operator.api.wire import as_dict
from llama_operator.render import resources
from llama_operator.render.inputs import Object
from llama_operator.render.meta import digest

NAME_LIMIT = 50
DEFAULT_RETENTION = {"policy": "Delete", "afterUnused": "24h"}


def weights_name(spec: LlamaDeploymentSpec) -> str:
    """The named copy, or model + digest of source and storage: equal wishes share one copy."""
    if spec.weights_ref is not None:
        return spec.weights_ref.name
    wish = {"model": spec.model, "source": as_dict(spec.source), "storage": as_dict(spec.storage)}
    slug = re.sub(r"[^a-z0-9]+", "-", spec.model.rsplit("/", 1)[-1].lower()).strip("-")
    if not slug[:1].isalpha():
        slug = f"m-{slug}".rstrip("-")
    return f"{slug[: NAME_LIMIT - 9].rstrip('-')}-{digest(wish, 8)}"


def weights(namespace: str, spec: LlamaDeploymentSpec, product: str = "") -> Object:
    """A LlamaWeights without an owner: it outlives the deployment that asked first.

    It is fetched where the servers may run, on nodes with `product` where a plan names one: a
    zonal or local volume stays where its first pod ran.
    """
    placement = {
        "nodeSelector": resources.node_selector(spec, product),
        "tolerations": resources.tolerations(spec),
        "affinity": spec.scheduling.affinity,
    }
    wanted: Object = {
        "model": spec.model,
        "source": as_dict(spec.source),
        "storage": as_dict(spec.storage),
        "retention": {**DEFAULT_RETENTION, **as_dict(spec.retention)},
        "fetch": {key: value for key, value in placement.items() if value},
    }
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "LlamaWeights",
        "metadata": {
            "name": weights_name(spec),
            "namespace": namespace,
            "labels": {labels.MANAGED_BY: labels.MANAGED_BY_VALUE},
        },
        "spec": {key: value for key, value in wanted.items() if value},
    }
