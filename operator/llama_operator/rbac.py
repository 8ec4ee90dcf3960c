"""The operator's rights, as data: manifests and tests are made from this one table.

Least of all with Secrets: it may get one by name and create one, never list or watch them.
"""

from __future__ import annotations

from typing import Any

from llama_operator.api.v1alpha1 import GROUP

Object = dict[str, Any]

_READ = ("get", "list", "watch")
_OWN = (*_READ, "create", "patch", "delete")

# (API group, resources, verbs)
TABLE: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (GROUP, ("llamadeployments",), _READ),
    (GROUP, ("llamaweights",), _OWN),
    # Status is written by server-side apply; the fetch Job's own right is a part of this one.
    (GROUP, ("llamadeployments/status", "llamaweights/status"), ("get", "patch")),
    (GROUP, ("llamadeployments/finalizers", "llamaweights/finalizers"), ("update",)),
    ("apps", ("deployments", "controllerrevisions"), _OWN),
    ("batch", ("jobs",), _OWN),
    ("", ("services", "persistentvolumeclaims", "serviceaccounts"), _OWN),
    ("", ("secrets",), ("get", "create")),
    ("", ("nodes",), _READ),
    # A start that hangs is begun anew.
    ("", ("pods",), (*_READ, "delete")),
    # Why a server ended stands in its log.
    ("", ("pods/log",), ("get",)),
    ("networking.k8s.io", ("networkpolicies",), _OWN),
    ("policy", ("poddisruptionbudgets",), _OWN),
    ("rbac.authorization.k8s.io", ("roles", "rolebindings"), _OWN),
    ("storage.k8s.io", ("storageclasses",), _READ),
    ("coordination.k8s.io", ("leases",), ("get", "create", "patch")),
    ("events.k8s.io", ("events",), ("create", "patch")),
)


def rules() -> list[Object]:
    """The table as rules of a ClusterRole."""
    return [
        {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
        for group, resources, verbs in TABLE
    ]
