"""What the operator needs in a cluster: CRDs, a namespace, an account and its rights."""

from __future__ import annotations

from typing import Any

from llama_operator.api.crd import all_crds
from llama_operator.rbac import CLUSTER, OWN_NAMESPACE, WATCHED, rules

Object = dict[str, Any]

NAME = "llama-operator"
_RBAC = "rbac.authorization.k8s.io"
_META: Object = {"name": NAME, "labels": {"app.kubernetes.io/name": NAME}}


def manifests(namespace: str) -> list[Object]:
    """All objects, in the order in which they can be applied."""
    own = {**_META, "namespace": namespace}
    return [
        *all_crds(),
        _namespace(namespace),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": own},
        *granted("ClusterRole", _META, rules(WATCHED, CLUSTER), namespace),
        *granted("Role", own, rules(OWN_NAMESPACE), namespace),
    ]


def granted(kind: str, meta: Object, given: list[Object], namespace: str) -> list[Object]:
    """A role and its binding to the operator's account."""
    return [
        {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": meta, "rules": given},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": f"{kind}Binding",
            "metadata": meta,
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
        },
    ]


def _namespace(name: str) -> Object:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
