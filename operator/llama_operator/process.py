"""Puts the parts together: caches, reconcilers, lease, events, health. No logic lives here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import yaml

from llama_operator import __version__
from llama_operator.api import labels
from llama_operator.catalog import catalog
from llama_operator.config import Config
from llama_operator.reconcile import listeners, packed, resources, scaling, specs
from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.fleet import ColdStarts, FleetCollector
from llama_operator.reconcile.gather import Gatherer
from llama_operator.reconcile.ownership import leaves
from llama_operator.reconcile.reconciler import DeploymentReconciler, WeightsReconciler
from llama_operator.reconcile.recorder import ConditionRecorder
from llama_operator.reconcile.sizing_watch import SizingWatch
from llama_operator.render import adapters
from llama_operator.render.inputs import Object
from llama_operator.render.weights import weights_name
from llama_operator.runtime.api import Api
from llama_operator.runtime.config import load_configuration
from llama_operator.runtime.controller import Controller
from llama_operator.runtime.current import current
from llama_operator.runtime.errors import NotLeader
from llama_operator.runtime.events import EventRecorder
from llama_operator.runtime.hooks import ControllerHooks, InformerHooks, LeaderHooks, QueueHooks
from llama_operator.runtime.leader import LeaderElector
from llama_operator.runtime.manager import Manager, stop_on_signals
from llama_operator.runtime.mapping import changed_generation, to_controller
from llama_operator.runtime.resource import Key
from llama_operator.telemetry import logs
from llama_operator.telemetry.health import HealthServer
from llama_operator.telemetry.metrics import Metrics

LEASE = "llama-operator"
# Ten thousand deployments of one copy come one by one, and each changes its list of users.
USERS_SECONDS = 1.0
CONTROLLER = "llamactl.dev/llama-operator"


async def serve(config: Config) -> None:
    """Run the operator until a signal; raises LeadershipLost when the lease went to another."""
    start_logs(config)
    metrics = Metrics(__version__)
    configuration = await load_configuration(config.kubeconfig or None, config.context or None)
    api = Api(configuration, hooks=metrics.api)
    manager = build(config, api, metrics)
    health = HealthServer(
        {"caches": lambda: manager.ready},
        metrics.render,
        host=config.health_host,
        port=config.health_port,
    )
    await health.start()
    try:
        await manager.run(stop_on_signals())
    finally:
        await health.stop()


def start_logs(config: Config) -> logging.Handler:
    """Logs as the settings want them; a JSON line says which object it is about."""
    style: logs.Format = "json" if config.log_format == "json" else "text"
    return logs.setup(style, config.log_level, context=current)


def build(config: Config, api: Api, metrics: Metrics) -> Manager:
    """The manager with everything wired to it, not yet running."""
    informer_hooks = cast(InformerHooks, metrics.informer)
    caches = Caches(api, config.watch_namespace or None, informer_hooks)
    events = EventRecorder(api, CONTROLLER)
    sizes = SizingWatch(caches, api.clock, leads(api))
    catalogue = models(config.models_file)
    gatherer = Gatherer(api, caches, catalogue, config.settings, api.clock, sizes.verdict)
    shared = (api, caches, gatherer, ConditionRecorder(events), api.clock)
    servers = _controller("llamadeployment", DeploymentReconciler(*shared), config, metrics)
    weights = _controller("llamaweights", WeightsReconciler(*shared), config, metrics)
    manager = Manager(api, caches.all, [servers, weights], _leader(config, api, metrics))
    manager.add(events.run)
    manager.add(lambda: sizes.run(servers.queue.add))
    for controller in manager.controllers:
        metrics.queue.observe(controller.queue)
        metrics.controller.known(controller.name)
    watch(manager, caches, servers, weights)
    FleetCollector(caches.deployments.store, caches.weights.store, metrics.registry)
    starts = ColdStarts(metrics.registry)
    caches.pods.add_handler(starts.seen)
    caches.deployments.add_handler(starts.told)
    return manager


def leads(api: Api) -> Callable[[], bool]:
    """Whether this process may write."""

    def ask() -> bool:
        try:
            api.fence()
        except NotLeader:
            return False
        return True

    return ask


def models(path: str) -> catalog.Catalog:
    """The catalogue, with the models of a file if one is named."""
    if not path:
        return catalog.load()
    return catalog.load(extra=yaml.safe_load(Path(path).read_text()))


def _controller(name: str, reconcile: Any, config: Config, metrics: Metrics) -> Controller:
    return Controller(
        name,
        reconcile,
        config.workers,
        hooks=cast(ControllerHooks, metrics.controller),
        queue_hooks=cast(QueueHooks, metrics.queue),
    )


def _leader(config: Config, api: Api, metrics: Metrics) -> LeaderElector | None:
    if not config.leader_election:
        return None
    # A standby shows 0: where nobody leads there is a series that says so.
    metrics.leader.leading(LEASE, False)
    return LeaderElector(
        api, config.settings.operator_namespace, LEASE, hooks=cast(LeaderHooks, metrics.leader)
    )


def watch(manager: Manager, caches: Caches, servers: Controller, weights: Controller) -> None:
    """Which change of which object queues which key."""
    deployment_of = to_controller(resources.DEPLOYMENTS)
    weights_of = to_controller(resources.WEIGHTS)
    manager.watch(caches.deployments, servers, predicate=changed_generation)
    manager.watch(
        caches.deployments, weights, used_weights, predicate=asks_otherwise, after=USERS_SECONDS
    )
    manager.watch(caches.weights, weights, predicate=not_only_reports)
    manager.watch(caches.weights, servers, users(caches), predicate=not_only_users)
    for kind in resources.SERVING_CHILDREN:
        manager.watch(caches.children[kind.kind], servers, deployment_of)
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
    for kind in resources.ROUTE_CHILDREN:
        manager.watch(caches.children[kind.kind], servers, deployment_of)
    for definition in (caches.routes, caches.pools):
        manager.watch(definition.informer, servers, lambda _: routed(caches))
    manager.watch(caches.gateways, servers, routed_by(caches), predicate=listeners.changed)
    manager.watch(caches.lws.informer, servers, lambda _: grouped(caches))
    manager.watch(caches.kserve.informer, servers, lambda _: behind_kserve(caches))
    manager.watch(caches.keda.informer, servers, lambda _: autoscaled(caches))
    manager.watch(caches.quotas, servers, lambda _: autoscaled(caches), predicate=scaling.limits)
    manager.watch(caches.pods, servers, labelled("LlamaDeployment"))
    manager.watch(caches.pods, weights, labelled("LlamaWeights"))
    manager.watch(caches.nodes, servers, lambda _: unplanned(caches), predicate=changed_generation)
    manager.watch(caches.classes, weights, lambda _: unfetched(caches))


def used_weights(raw: Object) -> list[Key]:
    """The LlamaWeights that a deployment refers to: its list of users changes."""
    spec, meta = specs.deployments.of(raw), raw["metadata"]
    names = [weights_name(spec), *adapters.names(meta["name"], spec.adapters)]
    return [Key(meta["namespace"], name) for name in names]


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
    whole = packed.unpacked(server)
    controllers = [
        ref for ref in whole["metadata"].get("ownerReferences", ()) if ref.get("controller")
    ]
    made = any(ref["kind"] == resources.INFERENCES.kind for ref in controllers)
    return labelled("LlamaDeployment")(whole) if made else []


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
    return [
        Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
        for raw in caches.deployments.store.list()
        if not raw.get("status", {}).get("plan")
    ]


def autoscaled(caches: Caches) -> list[Key]:
    """Deployments that somebody scales: what may do so has come, gone, or may do more or less."""
    return [
        Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
        for raw in caches.deployments.store.list()
        if raw["spec"].get("autoscaling") is not None
    ]


def grouped(caches: Caches) -> list[Key]:
    """Deployments over several nodes: what makes their pods has come or gone."""
    return [
        Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
        for raw in caches.deployments.store.list()
        if raw.get("status", {}).get("plan", {}).get("nodes", 1) > 1
    ]


def routed(caches: Caches) -> list[Key]:
    """Deployments with a route: what makes it, or what it leads to, has come or gone."""
    return [
        Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
        for raw in caches.deployments.store.list()
        if raw["spec"].get("endpoint", {}).get("httpRoute") is not None
    ]


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


def behind_kserve(caches: Caches) -> list[Key]:
    """Deployments that KServe is to serve: it has come or gone."""
    return [
        Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
        for raw in caches.deployments.store.list()
        if raw["spec"].get("backend") == "kserve"
    ]


def unfetched(caches: Caches) -> list[Key]:
    """LlamaWeights that are not complete: a new StorageClass may make them possible."""
    return [
        Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
        for raw in caches.weights.store.list()
        if not raw.get("status", {}).get("digest")
    ]
