"""What a pod of ours may do in the cluster: a ServiceAccount, and one Role of its own.

A fetch Job parses bytes of strangers, so its rights end at one object's status subresource.
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
    """What a fetch Job may do: patch the status of its one LlamaWeights."""
    rule = {
        "apiGroups": [GROUP],
        "resources": ["llamaweights/status"],
        "resourceNames": [fetching.owner.name],
        "verbs": ["get", "patch"],
    }
    return granted(metadata(fetching.owner, account_name(fetching), "fetch"), [rule])


def granted(meta: Object, rules: list[Object]) -> list[Object]:
    """ServiceAccount, Role and RoleBinding of one name."""
    name = meta["name"]
    role = {"apiGroup": _RBAC, "kind": "Role", "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": meta["namespace"]}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": role,
            "subjects": [subject],
        },
    ]
