"""Objects that every full cluster has: storage classes, the runtime class, rights of its parts."""

from __future__ import annotations

from typing import Any

PROVISIONER = "llamactl.dev/local"
CLASS = "local"
LIMITED_CLASS = "local-limited"
RUNTIME_CLASS = "host-python"
LIMIT = "limit"


def objects() -> list[tuple[str, dict[str, Any]]]:
    """Pairs of collection path and object, to be created in this order."""
    storage, rbac = "/apis/storage.k8s.io/v1", "/apis/rbac.authorization.k8s.io/v1"
    return [
        (f"{storage}/storageclasses", _storage_class(CLASS, default=True)),
        (f"{storage}/storageclasses", _storage_class(LIMITED_CLASS, limit="size")),
        ("/apis/node.k8s.io/v1/runtimeclasses", _runtime_class()),
        (f"{rbac}/clusterroles", _dns_role()),
        (f"{rbac}/clusterrolebindings", _binding("coredns", "coredns")),
        (
            f"{rbac}/clusterrolebindings",
            _binding("local-volume-provisioner", "system:persistent-volume-provisioner"),
        ),
    ]


def _storage_class(name: str, *, default: bool = False, limit: str = "") -> dict[str, Any]:
    marked = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": marked},
        "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
        "parameters": {LIMIT: limit} if limit else {},
    }


def _runtime_class() -> dict[str, Any]:
    kind = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass"}
    return {**kind, "metadata": {"name": RUNTIME_CLASS}, "handler": RUNTIME_CLASS}


def _dns_role() -> dict[str, Any]:
    kinds = {"": ["services", "pods", "namespaces"], "discovery.k8s.io": ["endpointslices"]}
    rules = [
        {"apiGroups": [group], "resources": resources, "verbs": ["list", "watch"]}
        for group, resources in kinds.items()
    ]
    meta = {"name": "coredns"}
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    return {**kind, "metadata": meta, "rules": rules}


def _binding(user: str, role: str) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
