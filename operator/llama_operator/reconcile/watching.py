"""Which change of which object brings which deployment or copy of weights up for another pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from llama_operator.api import labels
from llama_operator.api.template import OF_KSERVE
from llama_operator.reconcile import copies, listeners, packed, resources, scaling, specs
from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.ownership import leaves
from llama_operator.render.inputs import Object
from llama_operator.runtime.controller import Controller
from llama_operator.runtime.informer import Informer
from llama_operator.runtime.manager import Manager
from llama_operator.runtime.mapping import changed_generation, to_controller
from llama_operator.runtime.resource import Key, key_of

# Ten thousand deployments of one copy come one by one, and each changes its list of users, all of
# which are looked through: by so many of them a second.
USERS_SECONDS, USERS_A_SECOND = 1.0, 1000
# A Deployment that was made writes its status three times, and each of its pods follows.
SERVERS_SECONDS = 0.2


def watch(manager: Manager, caches: Caches, servers: Controller, weights: Controller) -> None:
    """Which change of which object queues which key."""
    deployment_of = to_controller(resources.DEPLOYMENTS)
    weights_of = to_controller(resources.WEIGHTS)
    manager.watch(caches.deployments, servers, predicate=changed_generation)
    manager.watch(
        caches.deployments,
        weights,
        used_weights,
        predicate=asks_otherwise,
        after=until_counted(caches),
    )
    manager.watch(caches.weights, weights, predicate=not_only_reports)
    manager.watch(caches.weights, servers, users(caches), predicate=not_only_users)
    for kind in resources.SERVING_CHILDREN:
        after = SERVERS_SECONDS if kind == resources.SERVERS else 0.0
        manager.watch(caches.children[kind.kind], servers, deployment_of, after=after)
    for kind in resources.WEIGHTS_CHILDREN:
        manager.watch(caches.children[kind.kind], weights, weights_of)
    for kind in resources.SHARED_CHILDREN:
        manager.watch(caches.children[kind.kind], servers, deployment_of)
    for kind in resources.SCALING_CHILDREN:
        manager.watch(
            caches.children[kind.kind], servers, deployment_of, predicate=scaling.judged_anew
        )
    for kind in resources.OPTIONAL_SERVERS:
        manager.watch(caches.children[kind.kind], servers, deployment_of)
    manager.watch(caches.children[resources.SERVERS.kind], servers, of_kserve)
    manager.watch(caches.children[resources.CLAIM_TEMPLATES.kind], servers, deployment_of)
    manager.watch(
        caches.devices.classes, servers, lambda _: claiming(caches), predicate=came_or_went
    )
    manager.watch(
        caches.devices.slices, servers, lambda _: unplanned(caches), predicate=changed_devices
    )
    for kind in resources.ROUTE_CHILDREN:
        manager.watch(caches.children[kind.kind], servers, deployment_of)
    for definition in (caches.routes, caches.pools):
        manager.watch(definition.informer, servers, lambda _: routed(caches))
    manager.watch(caches.gateways, servers, routed_by(caches), predicate=listeners.changed)
    manager.watch(caches.lws.informer, servers, lambda _: grouped(caches))
    manager.watch(caches.kueue.informer, servers, lambda _: queued(caches))
    for definition in (caches.kserve, caches.llm_kserve):
        manager.watch(definition.informer, servers, lambda _: behind_kserve(caches))
    manager.watch(caches.keda.informer, servers, lambda _: autoscaled(caches))
    manager.watch(caches.quotas, servers, lambda _: autoscaled(caches), predicate=scaling.limits)
    served = labelled("LlamaDeployment")
    manager.watch(
        caches.pods,
        servers,
        served,
        predicate=lambda *each: not of_rank(*each),
        after=SERVERS_SECONDS,
    )
    # LeaderWorkerSet takes the whole group away at once: later nobody could tell what began it.
    manager.watch(caches.pods, servers, served, predicate=of_rank)
    manager.watch(caches.pods, weights, labelled("LlamaWeights"))
    manager.watch(caches.nodes, servers, lambda _: unplanned(caches), predicate=changed_generation)
    manager.watch(caches.classes, weights, lambda _: unfetched(caches))


def used_weights(raw: Object) -> list[Key]:
    """The LlamaWeights that a deployment refers to: its list of users changes."""
    return [Key(raw["metadata"]["namespace"], name) for name in copies.used(raw)]


def until_counted(caches: Caches) -> Callable[[Key], float]:
    """For how long changes of who uses a copy count as one: what is written of them may be late."""
    return lambda copy: max(USERS_SECONDS, caches.count_users(*copy) / USERS_A_SECOND)


def asks_otherwise(_event: str, old: Object | None, new: Object | None) -> bool:
    """False for an edit that leaves a deployment with the copies that it uses.

    To look through ten thousand users of a copy takes tens of milliseconds, in which no edit of
    any of them is followed.
    """
    if old is None or new is None or leaves(old) != leaves(new):
        return True
    return old["spec"] != new["spec"] and used_weights(old) != used_weights(new)


def users(caches: Caches) -> Any:
    """From a LlamaWeights to the deployments that wait for it."""

    def find(raw: Object) -> Iterable[Key]:
        meta = raw["metadata"]
        found = caches.users_of(meta["namespace"], meta["name"])
        names = {user["metadata"]["name"] for user in found}
        # That of an adapter that is no longer asked for.
        names |= {meta.get("labels", {}).get(labels.DEPLOYMENT, "")} - {""}
        return [Key(meta["namespace"], name) for name in sorted(names)]

    return find


def labelled(kind: str) -> Any:
    """From a pod to the object whose label it carries."""
    deployments = (labels.DEPLOYMENT, labels.PULLS_FOR)
    keys = deployments if kind == "LlamaDeployment" else (labels.WEIGHTS,)

    def find(pod: Object) -> Iterable[Key]:
        meta = pod["metadata"]
        name = next(filter(None, map(meta.get("labels", {}).get, keys)), None)
        return [Key(meta["namespace"], name)] if name else []

    return find


def of_kserve(server: Object) -> Iterable[Key]:
    """From a Deployment that KServe has made to whose servers it makes."""
    references = server["metadata"].get("ownerReferences", ())
    made = any(ref["kind"] in OF_KSERVE for ref in references if ref.get("controller"))
    return labelled("LlamaDeployment")(packed.unpacked(server)) if made else []


def not_only_reports(_event: str, old: Object | None, new: Object | None) -> bool:
    """False for the fetch Job's reports, and for our own of who uses the copy.

    They decide nothing; and while users come by the thousand, each report would at once bring about
    the next one, with those that came meanwhile.
    """
    if old is None or new is None:
        return True
    return _decisive(old, *_WHO) != _decisive(new, *_WHO)


def not_only_users(_event: str, old: Object | None, new: Object | None) -> bool:
    """False for who else uses a copy: told to all others, each user would cost as many reconciles."""
    if old is None or new is None:
        return True
    return _decisive(old, *_USERS) != _decisive(new, *_USERS)


_WHO = ("usedBy", "usedByCount")
_USERS = (*_WHO, "unusedSince")


def _decisive(raw: Object, *others: str) -> tuple[Object, Object]:
    ignored = ("progress", *others)
    status = {name: value for name, value in raw.get("status", {}).items() if name not in ignored}
    meta = {name: value for name, value in raw["metadata"].items() if name != "resourceVersion"}
    return meta, status


def unplanned(caches: Caches) -> list[Key]:
    """Deployments without a plan: a new node may make one possible."""
    return _where(caches.deployments, lambda raw: not raw.get("status", {}).get("plan"))


def claiming(caches: Caches) -> list[Key]:
    """Deployments that claim their GPUs of a device class: one has come or gone."""
    return _where(
        caches.deployments, lambda raw: bool(raw["spec"].get("gpu", {}).get("deviceClassName"))
    )


def of_rank(_event: str, old: Object | None, new: Object | None) -> bool:
    """Whether a pod is a rank of a group other than the first."""
    own = (new or old or {}).get("metadata", {}).get("labels", {})
    return bool(own.get(labels.COMPONENT) == labels.WORKER)


def came_or_went(_event: str, old: Object | None, new: Object | None) -> bool:
    """False for a change of what is there: only that it is there counts."""
    return old is None or new is None


def changed_devices(_event: str, old: Object | None, new: Object | None) -> bool:
    """False for a slice that is published again with the same devices."""
    return old is None or new is None or old["devices"] != new["devices"]


def autoscaled(caches: Caches) -> list[Key]:
    """Deployments that somebody scales: what may do so has come, gone, or may do more or less."""
    return _where(caches.deployments, lambda raw: raw["spec"].get("autoscaling") is not None)


def grouped(caches: Caches) -> list[Key]:
    """Deployments over several nodes: what makes their pods has come or gone."""
    return _where(
        caches.deployments, lambda raw: raw.get("status", {}).get("plan", {}).get("nodes", 1) > 1
    )


def behind_kserve(caches: Caches) -> list[Key]:
    """Deployments that KServe is to serve: it has come or gone."""
    return _where(caches.deployments, lambda raw: raw["spec"].get("backend") == "kserve")


def queued(caches: Caches) -> list[Key]:
    """Deployments with a queue: what makes them wait has come or gone."""
    return _where(
        caches.deployments, lambda raw: bool(raw["spec"].get("scheduling", {}).get("queueName"))
    )


def routed(caches: Caches) -> list[Key]:
    """Deployments with a route: what makes it, or what it leads to, has come or gone."""
    return _where(
        caches.deployments,
        lambda raw: raw["spec"].get("endpoint", {}).get("httpRoute") is not None,
    )


def routed_by(caches: Caches) -> Any:
    """From a Gateway to the deployments whose routes name it."""

    def find(gateway: Object) -> Iterable[Key]:
        parent = gateway["metadata"]["namespace"], gateway["metadata"]["name"]
        found = ((key, caches.deployments.store.get(*key)) for key in routed(caches))
        return [
            key
            for key, raw in found
            if raw and parent in listeners.parents(specs.deployments.of(raw), key.namespace)
        ]

    return find


def unfetched(caches: Caches) -> list[Key]:
    """LlamaWeights that are not complete: a new StorageClass may make them possible."""
    return _where(caches.weights, lambda raw: not raw.get("status", {}).get("digest"))


def _where(cache: Informer, wanted: Callable[[Object], bool]) -> list[Key]:
    return [key_of(raw) for raw in cache.store.list() if wanted(raw)]
