"""Puts the parts together: caches, reconcilers, lease, events, health. No logic lives here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import yaml

from llama_operator import __version__
from llama_operator.catalog import catalog
from llama_operator.config import Config
from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.fleet import ColdStarts, FleetCollector
from llama_operator.reconcile.gather import Gatherer
from llama_operator.reconcile.reconciler import DeploymentReconciler, WeightsReconciler
from llama_operator.reconcile.recorder import ConditionRecorder
from llama_operator.reconcile.sizing_watch import SizingWatch
from llama_operator.reconcile.watching import watch
from llama_operator.runtime.api import Api
from llama_operator.runtime.config import load_configuration
from llama_operator.runtime.controller import Controller
from llama_operator.runtime.current import current
from llama_operator.runtime.errors import NotLeader
from llama_operator.runtime.events import EventRecorder
from llama_operator.runtime.hooks import ControllerHooks, InformerHooks, LeaderHooks, QueueHooks
from llama_operator.runtime.leader import LeaderElector
from llama_operator.runtime.manager import Manager, stop_on_signals
from llama_operator.telemetry import logs
from llama_operator.telemetry.certificates import Certificates, Files
from llama_operator.telemetry.health import HealthServer
from llama_operator.telemetry.metrics import Metrics

LEASE = "llama-operator"
CONTROLLER = "llamactl.dev/llama-operator"


async def serve(config: Config) -> None:
    """Run the operator until a signal; raises LeadershipLost when the lease went to another."""
    start_logs(config)
    metrics = Metrics(__version__)
    secured = certificates(config, metrics)
    configuration = await load_configuration(config.kubeconfig or None, config.context or None)
    api = Api(configuration, hooks=metrics.api)
    manager = build(config, api, metrics)
    health = HealthServer(
        {"caches": lambda: manager.ready},
        metrics.render,
        host=config.health_host,
        port=config.health_port,
        certificates=secured,
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


def certificates(config: Config, metrics: Metrics) -> Certificates | None:
    """What the metrics are served with over TLS; None: they are not."""
    if not config.metrics_tls_dir:
        return None
    authority = Path(config.metrics_client_ca) if config.metrics_client_ca else None
    return Certificates(Files(Path(config.metrics_tls_dir), authority), metrics.certificates)


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
    stores = (caches.deployments.store, caches.weights.store)
    FleetCollector(*stores, metrics.registry, per_object=config.metrics_per_object)
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
