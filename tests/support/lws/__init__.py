"""The real LeaderWorkerSet: its definition and its controller, built from the Go module proxy.

Its webhooks tell each pod its rank and the address of the first one. In a cluster LeaderWorkerSet makes
their certificate by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support import definitions, gomodule, webhooks
from tests.support.cluster import Cluster, build, tools
from tests.support.cluster.paths import LWS_MODULE
from tests.support.cluster.progress import Progress

Object = dict[str, Any]
NAME = "leaderworkersets.leaderworkerset.x-k8s.io"
MANAGER = "lws-manager"


def source() -> Path:
    """Where the module lies; it is brought by the build, or by this."""
    return gomodule.directory(tools.LWS, within=LWS_MODULE)


def define(cluster: Cluster) -> None:
    """Install the definition alone."""
    crd = source() / "config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml"
    definitions.define(cluster, crd, NAME)


def install(cluster: Cluster, directory: Path, gangs: str = "") -> None:
    """Install the definition and start the controller; it ends with the cluster.

    `gangs`: the scheduler that it is to tell which pods belong together.
    """
    build.ensure([tools.LWS_MANAGER], Progress())
    define(cluster)
    place = webhooks.Place.made(cluster, "lws", directory / "lws")
    settings = place.certs / "config.yaml"
    settings.write_text(json.dumps(_settings(place, gangs)))
    argv = (str(tools.path_of(MANAGER)), f"--config={settings}", "--leader-elect=false")
    webhooks.start(cluster, MANAGER, argv, place)
    webhooks.apply(cluster, _webhooks(place.reached))


@contextmanager
def installed(cluster: Cluster, directory: Path) -> Iterator[None]:
    """There for a while, in a cluster that others use as well."""
    install(cluster, directory)
    try:
        yield
    finally:
        webhooks.stop(cluster, MANAGER, _webhooks(webhooks.NAMES_ONLY))
        cluster.kubectl("delete", "crd", NAME)


def _settings(place: webhooks.Place, gangs: str) -> Object:
    by = {"gangSchedulingManagement": {"schedulerProvider": gangs}} if gangs else {}
    return {
        **by,
        **place.configuration(),
        "apiVersion": "config.lws.x-k8s.io/v1alpha1",
        "kind": "Configuration",
    }


def _webhooks(reached: tuple[str, str]) -> list[Object]:
    """As LeaderWorkerSet's own, but for the address."""
    found = list(yaml.safe_load_all((source() / "config/webhook/manifests.yaml").read_text()))
    for each in found:
        each["metadata"]["name"] = f"lws-{each['metadata']['name']}"
        for webhook in each["webhooks"]:
            webhooks.point(webhook, reached)
    return found
