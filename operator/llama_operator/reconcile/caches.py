"""The caches that snapshots are taken from, cut down to what is read.

Children and pods are watched with our label only, so that a cluster with ten thousand other
pods costs nothing; Secrets are not watched at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from typing import Any

from llama_operator.api import labels
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.reconcile import (
    copies,
    listeners,
    mounts,
    packed,
    resources,
    revisions,
    sets,
)
from llama_operator.reconcile.device_caches import DeviceCaches
from llama_operator.reconcile.installed import Definition
from llama_operator.reconcile.listeners import Parent
from llama_operator.reconcile.ownership import leaves
from llama_operator.runtime.api import Api
from llama_operator.runtime.compact import Compact
from llama_operator.runtime.hooks import InformerHooks
from llama_operator.runtime.informer import Informer, Transform
from llama_operator.runtime.resource import Resource, key_of
from llama_operator.runtime.slices import slices
from llama_operator.runtime.store import IndexFn

Object = dict[str, Any]

_OURS = f"{labels.MANAGED_BY}={labels.MANAGED_BY_VALUE}"
_META = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "labels",
    "ownerReferences",
    "deletionTimestamp",
    "creationTimestamp",
)
_POD_STATUS = (
    "phase",
    "reason",
    "message",
    "conditions",
    "initContainerStatuses",
    "containerStatuses",
    "podIP",
)


# Whose a pod is, by its label.
_KINDS = {
    labels.DEPLOYMENT: "LlamaDeployment",
    labels.PULLS_FOR: labels.PULL,
    labels.WEIGHTS: "LlamaWeights",
}


class Caches:
    """One informer for each kind that is watched."""

    def __init__(
        self, api: Api, namespace: str | None = None, hooks: InformerHooks | None = None
    ) -> None:
        where: dict[str, Any] = {"namespace": namespace, "hooks": hooks}
        ours: dict[str, Any] = {**where, "label_selector": _OURS}
        users: dict[str, IndexFn] = {"weights": _weights_of}
        self.deployments = Informer(
            api, resources.DEPLOYMENTS, transform=Compact(), indexes=users, **where
        )
        placed: dict[str, IndexFn] = {"copy": _place_of, "deployment": _adapter_of}
        self.weights = Informer(
            api, resources.WEIGHTS, transform=Compact(), indexes=placed, **where
        )
        self.children = {
            resource.kind: Informer(api, resource, **_kept(resource), **ours)
            for resource in (*resources.SERVING_CHILDREN, *resources.WEIGHTS_CHILDREN)
        }
        self.keda = Definition(api, resources.SCALED_OBJECTS, hooks)
        self.lws = Definition(api, resources.GROUPS, hooks)
        self.routes = Definition(api, resources.ROUTES, hooks)
        self.pools = Definition(api, resources.POOLS, hooks)
        self.kserve = Definition(api, resources.INFERENCES, hooks)
        self.llm_kserve = Definition(api, resources.LLM_INFERENCES, hooks)
        # Its objects are not watched: they are many, and only those of what waits matter.
        self.kueue = Definition(api, resources.WORKLOADS, hooks)
        self._kinds = (self.keda, self.lws, self.kserve, self.llm_kserve, self.routes, self.pools)
        self.devices = DeviceCaches(api, hooks)
        optional = {each.resource: each.installed for each in self._kinds}
        optional[resources.CLAIM_TEMPLATES] = self.devices.served
        self.children |= {
            resource.kind: Informer(
                api, resource, installed=optional.get(resource), **_kept(resource), **ours
            )
            for resource in (*resources.SCALING_CHILDREN, *optional)
        }
        self._namespace = namespace
        # Others', and few: their listeners say under which address a route is reached.
        self.gateways = Informer(
            api,
            resources.GATEWAYS,
            transform=listeners.slim,
            installed=self.routes.installed,
            **where,
        )
        self.quotas = Informer(api, resources.QUOTAS, transform=slim_quota, **where)
        named: dict[str, IndexFn] = {"owner": _named_owner}
        self.pods = Informer(api, resources.PODS, transform=_small(slim_pod), indexes=named, **ours)
        self.nodes = Informer(api, resources.NODES, transform=_small(slim_node), hooks=hooks)
        self.classes = Informer(api, resources.STORAGE_CLASSES, transform=slim_meta, hooks=hooks)

    @property
    def all(self) -> list[Informer]:
        """Every informer."""
        named = [self.deployments, self.weights, self.pods, self.nodes, self.classes]
        definitions = [each.informer for each in (*self._kinds, self.kueue)]
        others = [self.quotas, self.gateways, *self.devices.all]
        return [*named, *others, *definitions, *self.children.values()]

    def serving(self) -> Iterator[Object]:
        """Deployments that are not on their way out."""
        return (raw for raw in self.deployments.store.list() if not leaves(raw))

    async def own(self, child: Object, write: Awaitable[Object]) -> Object:
        """The answer to a write of a child by the pass over its owner, which needs no other pass.

        A decision that was carried out asks for nothing more until something else changes.
        """
        return await self.children[child["kind"]].own(key_of(child), write)

    def children_of(self, uid: str) -> list[Object]:
        """Cached children whose owner has this UID and that are not on their way out."""
        found = [
            obj for cache in self.children.values() for obj in cache.store.by_index("owner", uid)
        ]
        return [packed.unpacked(obj) for obj in found if not leaves(obj)]

    def pods_of(self, kind: str, namespace: str, name: str) -> tuple[Object, ...]:
        """Pods that carry the label of this owner; of a deployment, its servers."""
        return tuple(self.pods.store.by_index("owner", f"{kind}/{namespace}/{name}"))

    def pulls_of(self, namespace: str, name: str) -> tuple[Object, ...]:
        """Pods that bring images to nodes for a deployment."""
        return self.pods_of(labels.PULL, namespace, name)

    def users_of(self, namespace: str, name: str) -> list[Object]:
        """Deployments that use this LlamaWeights."""
        return self.deployments.store.any_order("weights", f"{namespace}/{name}")

    def count_users(self, namespace: str, name: str) -> int:
        """How many those are."""
        return self.deployments.store.count("weights", f"{namespace}/{name}")

    def adapters_of(self, namespace: str, name: str) -> dict[str, Object]:
        """The copies of adapters that were made for a deployment, by their names."""
        found = self.weights.store.by_index("deployment", f"{namespace}/{name}")
        return {raw["metadata"]["name"]: raw for raw in found if not leaves(raw)}

    def gateways_of(
        self, spec: LlamaDeploymentSpec, namespace: str
    ) -> dict[Parent, Object | None] | None:
        """The Gateways that a spec names and that we may see, None for one that is not there.

        None instead of all while their kind is not served, or not read yet.
        """
        if not self.gateways.served:
            return None
        named = listeners.parents(spec, namespace)
        seen = [parent for parent in named if self._namespace in (None, parent[0])]
        return {parent: self.gateways.store.get(*parent) for parent in seen}

    async def runners_of(self, raw: Object) -> list[Object]:
        """Deployments whose servers mount this copy, whatever their spec asks for by now."""
        return await self._mounting(raw, *sets.KINDS)

    async def keepers_of(self, raw: Object) -> list[Object]:
        """Deployments that could go back to this copy by a revision that they keep."""
        return await self._mounting(raw, "ControllerRevision")

    def present(self, places: Iterable[str]) -> frozenset[str]:
        """Of these places of copies those where one lies and is not on its way out."""
        store = self.weights.store
        return frozenset(
            place
            for place in places
            if any(not leaves(raw) for raw in store.by_index("copy", place))
        )

    async def _mounting(self, raw: Object, *kinds: str) -> list[Object]:
        copy = mounts.of_weights(raw)
        caches = [self.children[kind] for kind in kinds] if copy else []
        found = [each for cache in caches for each in cache.store.any_order("copy", copy)]
        owners: set[tuple[str, str]] = set()
        async for some in slices(found):
            owners.update((ref["name"], ref["uid"]) for each in some for ref in _controllers(each))
        return [owner async for owner in self._deployments(raw["metadata"]["namespace"], owners)]

    async def _deployments(
        self, namespace: str, named: Iterable[tuple[str, str]]
    ) -> AsyncIterator[Object]:
        """Those that there are, by name and UID."""
        async for some in slices(named):
            for name, uid in some:
                found = self.deployments.store.get(namespace, name)
                if found is not None and found["metadata"]["uid"] == uid:
                    yield found


def _kept(resource: Resource) -> dict[str, Any]:
    """How a cache keeps children of a kind: revisions packed in their own way, others whole."""
    if resource == resources.REVISIONS:
        squeeze = packed.Squeezer()
        shape, mounted = _small(lambda obj: revisions.slim(obj, squeeze)), revisions.copies_of
    else:
        shape, mounted = packed.Packing(), packed.copies_of
    return {"transform": shape, "indexes": {"owner": _owner_uids, "copy": mounted}}


def _small(slim: Transform) -> Transform:
    compact = Compact()
    return lambda obj: compact(slim(obj))


def slim_meta(obj: Object) -> Object:
    """Metadata only: names, labels, annotations."""
    meta = obj["metadata"]
    kept = {name: meta[name] for name in (*_META, "annotations") if name in meta}
    return {"apiVersion": obj.get("apiVersion", ""), "kind": obj.get("kind", ""), "metadata": kept}


def slim_node(node: Object) -> Object:
    """Of a node its metadata, what keeps pods away, and what it has to give."""
    spec, status = node.get("spec", {}), node.get("status", {})
    return {
        **slim_meta(node),
        "spec": {name: spec[name] for name in ("taints", "unschedulable") if name in spec},
        "status": {"allocatable": dict(status.get("allocatable", {}))},
    }


def slim_quota(quota: Object) -> Object:
    """What it allows, and not how much of it is used."""
    slim = slim_meta(quota)
    slim["metadata"].pop("annotations", None)
    return {**slim, "spec": quota.get("spec", {})}


def slim_pod(pod: Object) -> Object:
    """Of a pod only whose it is, where it is and how it fares."""
    meta, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**{name: meta[name] for name in _META if name in meta}, **_intent(meta)},
        "spec": {name: spec[name] for name in ("nodeName", "schedulingGates") if name in spec},
        "status": {name: status[name] for name in _POD_STATUS if name in status},
    }


def _intent(meta: Object) -> Object:
    # Which template the pod was made from, and which labels it was given since.
    told = meta.get("annotations", {})
    kept = {name: told[name] for name in (labels.INTENT_HASH, labels.LABELLED) if name in told}
    return {"annotations": kept} if kept else {}


def _owner_uids(obj: Object) -> Iterable[str]:
    return [ref["uid"] for ref in _controllers(obj)]


def _controllers(obj: Object) -> list[Object]:
    return [ref for ref in obj["metadata"].get("ownerReferences", ()) if ref.get("controller")]


def _named_owner(pod: Object) -> Iterable[str]:
    own, namespace = pod["metadata"].get("labels", {}), pod["metadata"]["namespace"]
    for label, kind in _KINDS.items():
        if label in own:
            yield f"{kind}/{namespace}/{own[label]}"


def _place_of(raw: Object) -> Iterable[str]:
    place = mounts.of_weights(raw)
    return [place] if place else []


def _weights_of(raw: Object) -> Iterable[str]:
    return [f"{raw['metadata']['namespace']}/{name}" for name in copies.used(raw)]


def _adapter_of(raw: Object) -> Iterable[str]:
    meta = raw["metadata"]
    deployment = meta.get("labels", {}).get(labels.DEPLOYMENT)
    return [f"{meta['namespace']}/{deployment}"] if deployment else []
