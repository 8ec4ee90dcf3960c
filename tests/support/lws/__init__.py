"""The real LeaderWorkerSet: its definition and its controller, built from the Go module proxy.

The controller runs as a process of this machine with the administrator's rights. Its webhooks, which
tell each pod its rank and the address of the first one, are reached at an address instead of by a
Service, under an authority made for this; in a cluster LeaderWorkerSet makes both by itself.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.support import definitions, gomodule
from tests.support.cluster import Cluster, build, tools
from tests.support.cluster.paths import LWS_MODULE
from tests.support.cluster.pki import Authority
from tests.support.cluster.ports import held
from tests.support.cluster.processes import Command
from tests.support.cluster.progress import Progress
from tests.support.stack import answers, wait_for

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
    host, certs = cluster.host_address, directory / "lws"
    authority = Authority(certs)
    authority.create()
    authority.server("tls", "lws", [host])
    with held(2) as (port, health):
        pass
    settings = certs / "config.yaml"
    settings.write_text(json.dumps(_settings(host, port, health, certs, gangs)))
    argv = (str(tools.path_of(MANAGER)), f"--config={settings}", "--leader-elect=false")
    env = (("KUBECONFIG", str(cluster.kubeconfig)),)
    cluster.processes.start(Command(MANAGER, argv, env))
    wait_for(lambda: answers(f"http://{host}:{health}/readyz"), 60, "LeaderWorkerSet's controller")
    ca = base64.b64encode(authority.ca.certificate.read_bytes()).decode()
    for webhook in _webhooks(f"https://{host}:{port}", ca):
        cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(webhook))


@contextmanager
def installed(cluster: Cluster, directory: Path) -> Iterator[None]:
    """There for a while, in a cluster that others use as well."""
    install(cluster, directory)
    try:
        yield
    finally:
        # The webhooks first: without their server no pod could be made.
        names = [f"{each['kind']}/{each['metadata']['name']}" for each in _webhooks("", "")]
        cluster.kubectl("delete", *names)
        cluster.processes.stop([MANAGER])
        cluster.processes.forget([MANAGER])
        cluster.kubectl("delete", "crd", NAME)


def _settings(host: str, port: int, health: int, certs: Path, gangs: str) -> Object:
    by = {"gangSchedulingManagement": {"schedulerProvider": gangs}} if gangs else {}
    return {
        **by,
        "apiVersion": "config.lws.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "webhook": {"host": host, "port": port, "certDir": str(certs)},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": f"{host}:{health}"},
    }


def _webhooks(address: str, ca: str) -> list[Object]:
    """As LeaderWorkerSet's own, but for the address."""
    found = list(yaml.safe_load_all((source() / "config/webhook/manifests.yaml").read_text()))
    for each in found:
        each["metadata"]["name"] = f"lws-{each['metadata']['name']}"
        for webhook in each["webhooks"]:
            path = webhook["clientConfig"].pop("service")["path"]
            webhook["clientConfig"] |= {"url": f"{address}{path}", "caBundle": ca}
    return found
