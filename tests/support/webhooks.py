"""Other projects' controllers with webhooks, as processes that run with the administrator's rights.

Their webhooks are reached at an address instead of by a Service, under an authority made for this.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cluster import Cluster
from tests.support.cluster.pki import Authority
from tests.support.cluster.ports import held
from tests.support.cluster.processes import Command
from tests.support.stack import answers, wait_for

Object = dict[str, Any]
NAMES_ONLY = ("", "")


@dataclass(frozen=True)
class Place:
    """Where a controller listens, its certificate (tls.crt, tls.key), and who vouches for it, in base64."""

    host: str
    port: int
    health: int
    certs: Path
    ca: str

    @classmethod
    def made(cls, cluster: Cluster, name: str, certs: Path) -> Place:
        """Two free ports, and an authority of its own."""
        authority = Authority(certs)
        authority.create()
        authority.server("tls", name, [cluster.host_address])
        with held(2) as (port, health):
            pass
        ca = base64.b64encode(authority.ca.certificate.read_bytes()).decode()
        return cls(cluster.host_address, port, health, certs, ca)

    @property
    def reached(self) -> tuple[str, str]:
        """What webhooks are pointed to."""
        return f"https://{self.host}:{self.port}", self.ca

    def configuration(self) -> Object:
        """What files of settings of several projects have in common."""
        return {
            "leaderElection": {"leaderElect": False},
            "internalCertManagement": {"enable": False},
            "webhook": {"host": self.host, "port": self.port, "certDir": str(self.certs)},
            "metrics": {"bindAddress": "0"},
            "health": {"healthProbeBindAddress": f"{self.host}:{self.health}"},
        }


def start(cluster: Cluster, name: str, argv: Iterable[str], place: Place, **more: str) -> None:
    """Start a controller, which ends with the cluster, and return once it is ready."""
    env = (("KUBECONFIG", str(cluster.kubeconfig)), *more.items())
    cluster.processes.start(Command(name, tuple(argv), env))
    wait_for(lambda: answers(f"http://{place.host}:{place.health}/readyz"), 60, name)


def stop(cluster: Cluster, name: str, configurations: Iterable[Object]) -> None:
    """The webhooks first: without their server nothing could be made that they look at."""
    names = [f"{each['kind']}/{each['metadata']['name']}" for each in configurations]
    cluster.kubectl("delete", *names)
    cluster.processes.stop([name])
    cluster.processes.forget([name])


def apply(cluster: Cluster, configurations: Iterable[Object]) -> None:
    """Let the API server ask them."""
    for each in configurations:
        cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(each))


def point(webhook: Object, reached: tuple[str, str]) -> None:
    """Let one lead to a controller of `Place.reached`."""
    path = webhook["clientConfig"].pop("service")["path"]
    address, ca = reached
    webhook["clientConfig"] |= {"url": f"{address}{path}", "caBundle": ca}
