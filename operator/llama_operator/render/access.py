"""What a fetch Job may do in the cluster: patch the status of its one LlamaWeights.

The Job parses bytes of strangers, so its rights end at one object's status subresource.
"""

from __future__ import annotations

from llama_operator.api.v1alpha1 import GROUP
from llama_operator.render.inputs import Fetching, Object
from llama_operator.render.meta import metadata

_RBAC = "rbac.authorization.k8s.io"


def account_name(fetching: Fetching) -> str:
    """Name of the ServiceAccount, the Role and the RoleBinding."""
    return f"{fetching.owner.name}-fetch"


def access(fetching: Fetching) -> list[Object]:
    """ServiceAccount, Role and RoleBinding of the fetch Job."""
    meta = metadata(fetching.owner, account_name(fetching), "fetch")
    rule = {
        "apiGroups": [GROUP],
        "resources": ["llamaweights/status"],
        "resourceNames": [fetching.owner.name],
        "verbs": ["get", "patch"],
    }
    role = {"apiGroup": _RBAC, "kind": "Role", "name": account_name(fetching)}
    subject = {
        "kind": "ServiceAccount",
        "name": account_name(fetching),
        "namespace": fetching.owner.namespace,
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": meta, "rules": [rule]},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": role,
            "subjects": [subject],
        },
    ]
