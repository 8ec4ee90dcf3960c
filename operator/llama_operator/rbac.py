"""The operator's rights, as data: manifests, chart and tests are made from this one table.

Least of all with Secrets: it may get one by name and create one, never list or watch them. A right
is given where it is used: kinds without a namespace in the cluster, the lease in the operator's own
namespace, all others in the namespaces that it watches.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from llama_operator.api.v1alpha1 import GROUP

Object = dict[str, Any]
# API group, resources, verbs.
Right = tuple[str, tuple[str, ...], tuple[str, ...]]

_READ = ("get", "list", "watch")
_OWN = (*_READ, "create", "patch", "delete")

WATCHED: Final[tuple[Right, ...]] = (
    (GROUP, ("llamadeployments",), _READ),
    (GROUP, ("llamaweights",), _OWN),
    # Status is written by server-side apply; the fetch Job's own right is a part of this one.
    (GROUP, ("llamadeployments/status", "llamaweights/status"), ("get", "patch")),
    (GROUP, ("llamadeployments/finalizers", "llamaweights/finalizers"), ("update",)),
    ("apps", ("deployments", "controllerrevisions"), _OWN),
    ("batch", ("jobs",), _OWN),
    ("", ("services", "persistentvolumeclaims", "serviceaccounts"), _OWN),
    # The list of adapters that servers follow.
    ("", ("configmaps",), _OWN),
    ("", ("secrets",), ("get", "create")),
    # A start that hangs is begun anew; changed labels are given to pods that run.
    ("", ("pods",), (*_READ, "patch", "delete")),
    # Why a server ended stands in its log.
    ("", ("pods/log",), ("get",)),
    # Why a pod does not start may stand in its events alone.
    ("", ("events",), ("list",)),
    ("networking.k8s.io", ("networkpolicies", "ingresses"), _OWN),
    ("gateway.networking.k8s.io", ("httproutes",), _OWN),
    # Whether a listener has TLS.
    ("gateway.networking.k8s.io", ("gateways",), _READ),
    ("inference.networking.k8s.io", ("inferencepools",), _OWN),
    ("policy", ("poddisruptionbudgets",), _OWN),
    ("rbac.authorization.k8s.io", ("roles", "rolebindings"), _OWN),
    ("events.k8s.io", ("events",), ("create", "patch")),
    ("autoscaling", ("horizontalpodautoscalers",), _OWN),
    ("keda.sh", ("scaledobjects",), _OWN),
    ("leaderworkerset.x-k8s.io", ("leaderworkersets",), _OWN),
    ("serving.kserve.io", ("inferenceservices", "llminferenceservices"), _OWN),
    # GPUs that are claimed of a device class, and which of them are held when a rollout begins.
    ("resource.k8s.io", ("resourceclaimtemplates",), _OWN),
    ("resource.k8s.io", ("resourceclaims",), ("list",)),
    # What a queue says of a server that it holds back.
    ("kueue.x-k8s.io", ("workloads",), ("list",)),
    # How many replicas an autoscaler may ask for.
    ("", ("resourcequotas",), _READ),
    # Not used by the operator: rights of activators and of pickers are a part of these.
    (GROUP, ("llamadeployments/scale",), ("get", "patch")),
    ("discovery.k8s.io", ("endpointslices",), _READ),
    ("inference.networking.x-k8s.io", ("inferenceobjectives", "inferencemodelrewrites"), _READ),
)
CLUSTER: Final[tuple[Right, ...]] = (
    ("", ("nodes",), _READ),
    ("storage.k8s.io", ("storageclasses",), _READ),
    # Which devices there are, and of which classes they may be claimed.
    ("resource.k8s.io", ("deviceclasses", "resourceslices"), _READ),
    # Whether KEDA, LeaderWorkerSet, KServe, Kueue and Gateway API are there, and of which versions.
    ("apiextensions.k8s.io", ("customresourcedefinitions",), _READ),
)
OWN_NAMESPACE: Final[tuple[Right, ...]] = (
    ("coordination.k8s.io", ("leases",), ("get", "create", "patch")),
)


def rules(*tables: Iterable[Right]) -> list[Object]:
    """Tables as rules of a Role or ClusterRole."""
    return [
        {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
        for table in tables
        for group, resources, verbs in table
    ]
