"""A LlamaWeights that is complete, as the operator would have left it, for what is not about weights."""

from __future__ import annotations

from typing import Any

from llama_operator.api.v1alpha1 import API_VERSION
from llama_operator.reconcile import resources
from llama_operator.runtime import Api
from tests.support.builders import DIGEST

Object = dict[str, Any]
COPY = "ready"


def copy_of(namespace: str) -> Object:
    """The LlamaWeights that all deployments name."""
    return {
        "apiVersion": API_VERSION,
        "kind": "LlamaWeights",
        "metadata": {"name": COPY, "namespace": namespace},
        "spec": {
            "model": "llama-3.1-8b-instruct",
            "storage": {"accessModes": ["ReadWriteMany"]},
        },
    }


def claim_of(namespace: str, uid: str) -> Object:
    """Its claim; without it the copy counts as lost."""
    owner = {"apiVersion": API_VERSION, "kind": "LlamaWeights", "name": COPY, "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": COPY,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "llama-operator"},
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "none",
            "resources": {"requests": {"storage": "20Gi"}},
        },
    }


READY: Object = {
    "claimName": COPY,
    "path": "llama-3.1-8b-instruct/0123456789abcdef",
    "digest": DIGEST,
    "bytes": 16_060_556_376,
    "lastVerifiedAt": "2026-01-01T00:00:00Z",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Published",
            "message": "The copy is complete and verified",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
}


async def make_copy(api: Api, namespace: str) -> None:
    """The copy and its claim on an API server."""
    made = await api.create(resources.WEIGHTS, copy_of(namespace))
    await api.create(resources.CLAIMS, claim_of(namespace, made["metadata"]["uid"]))
    await api.patch(resources.WEIGHTS, namespace, COPY, {"status": READY}, subresource="status")
