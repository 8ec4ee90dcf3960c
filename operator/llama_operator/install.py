"""What the operator needs in a cluster: CRDs, a namespace, an account and its rights."""

from __future__ import annotations

from typing import Any

from llama_operator.api.crd import all_crds
from llama_operator.rbac import rules

Object = dict[str, Any]

NAME = "llama-operator"
_RBAC = "rbac.authorization.k8s.io"


def manifests(namespace: str) -> list[Object]:
    """All objects, in the order in which they can be applied."""
    meta = {"name": NAME, "labels": {"app.kubernetes.io/name": NAME}}
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    return [
        *all_crds(),
        _namespace(namespace),
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {**meta, "namespace": namespace},
        },
        {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules()},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": NAME},
            "subjects": [account],
        },
    ]


def _namespace(name: str) -> Object:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
