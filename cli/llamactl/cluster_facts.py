"""What a cluster has that matters to Llama models, read once; None where it may not be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_operator.api import labels
from llamactl import discovery, view
from llamactl.kube import Kube, Object
from llamactl.reader import Reader
from llamactl.resources import (
    CLUSTER_ROLES,
    CRDS,
    DEPLOYMENTS,
    DEVICE_CLASSES,
    DEVICE_SLICES,
    LEASES,
    NODES,
    ROLES,
    RULES_REVIEWS,
    SERVERS,
    STORAGE_CLASSES,
    WEIGHTS,
)

OPERATOR = "llama-operator"
# What the operator makes for deployments has the same name, and is managed by it.
OURS = f"{labels.NAME}={OPERATOR},{labels.MANAGED_BY}!={labels.MANAGED_BY_VALUE}"
# The chart has roles for users as well, which give the operator nothing.
ROLED = f"{OURS},{labels.COMPONENT}!=users"


@dataclass(frozen=True)
class Facts:
    """One reading; lists are None where they may not be read, `unread` says why."""

    namespace: str
    version: str = ""
    groups: Mapping[str, list[str]] = field(default_factory=dict)
    crds: Mapping[str, Object | None] | None = None
    operators: Sequence[Object] | None = None
    leases: Sequence[Object] | None = None
    operator_rules: Sequence[Mapping[str, Any]] | None = None
    own_rules: Sequence[Mapping[str, Any]] | None = None
    nodes: Sequence[Object] | None = None
    classes: Sequence[Object] | None = None
    # Of dynamic resource allocation; empty where the cluster does not have it.
    device_classes: Sequence[Object] | None = None
    device_slices: Sequence[Object] | None = None
    unread: Sequence[str] = ()


def read(kube: Kube) -> Facts:
    """Ask for all of it. Raises UnreachableError, and ApiError where not even /apis may be read."""
    reader = Reader(kube)

    def every(resource: Any, **more: str) -> list[Object] | None:
        return reader.read(lambda: kube.list(resource, everywhere=True, **more))

    groups = discovery.groups(kube)
    claimable = DEVICE_CLASSES.version in groups.get(DEVICE_CLASSES.group, ())
    return Facts(
        namespace=kube.namespace,
        version=discovery.server_version(kube),
        groups=groups,
        crds=_crds(reader),
        operators=every(SERVERS, selector=OURS),
        leases=every(LEASES, fields=f"metadata.name={OPERATOR}"),
        operator_rules=_rules(every(CLUSTER_ROLES, selector=ROLED), every(ROLES, selector=ROLED)),
        own_rules=_own(reader),
        nodes=every(NODES),
        classes=every(STORAGE_CLASSES),
        device_classes=every(DEVICE_CLASSES) if claimable else (),
        device_slices=every(DEVICE_SLICES) if claimable else (),
        unread=tuple(reader.unread),
    )


def _crds(reader: Reader) -> dict[str, Object | None] | None:
    names = [resource.qualified for resource in (DEPLOYMENTS, WEIGHTS)]
    before = len(reader.unread)
    found = {name: _cluster_wide(reader, name) for name in names}
    return found if len(reader.unread) == before else None


def _cluster_wide(reader: Reader, name: str) -> Object | None:
    fields = f"metadata.name={name}"
    listed = reader.read(lambda: reader.kube.list(CRDS, everywhere=True, fields=fields)) or []
    return next((crd for crd in listed if view.name_of(crd) == name), None)


def _rules(*roles: Sequence[Object] | None) -> list[Mapping[str, Any]] | None:
    if any(each is None for each in roles):
        return None
    return [rule for found in roles for role in found or () for rule in role.get("rules") or ()]


def _own(reader: Reader) -> list[Mapping[str, Any]] | None:
    body = {
        "apiVersion": RULES_REVIEWS.api_version,
        "kind": RULES_REVIEWS.kind,
        "spec": {"namespace": reader.kube.namespace},
    }
    answer = reader.read(lambda: reader.kube.ask(RULES_REVIEWS, body))
    if answer is None or view.path(answer, "status", "incomplete"):
        return None
    return list(view.path(answer, "status", "resourceRules") or [])
