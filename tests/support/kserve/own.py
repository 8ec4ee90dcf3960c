"""KServe's own controllers, built from its module, as processes.

They run with the administrator's rights. Their webhooks are reached at an address instead of by a
Service, under an authority made for this.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import gomodule
from tests.support.cluster import Cluster
from tests.support.cluster.paths import tool_cache
from tests.support.cluster.pki import Authority
from tests.support.cluster.ports import held
from tests.support.cluster.processes import Command
from tests.support.kserve import SUM, VERSION, source
from tests.support.once import once
from tests.support.stack import answers, wait_for

Object = dict[str, Any]
NAMESPACE = "kserve"


def program(name: str, package: str) -> Path:
    """The program `name` of a package of KServe's; some minutes where it is not there yet."""
    directory = tool_cache() / f"{name}-{VERSION}"
    once(directory, f"1 {SUM}", lambda: _build(directory / name, package))
    return directory / name


def _build(program: Path, package: str) -> None:
    program.parent.mkdir(parents=True)
    gomodule.build(source(), package, program)


@dataclass(frozen=True)
class Reached:
    """Where the webhooks of a controller are, and who vouches for that, in base64."""

    address: str
    ca: str

    def point(self, webhook: Object) -> None:
        """Let a webhook of a configuration of KServe's lead there."""
        path = webhook["clientConfig"].pop("service")["path"]
        webhook["clientConfig"] |= {"url": f"{self.address}{path}", "caBundle": self.ca}


def start(cluster: Cluster, made: Path, directory: Path, *more: str) -> Reached:
    """Start a controller, which ends with the cluster, and return once it is ready."""
    host = cluster.host_address
    # Where controller-runtime looks for a certificate, below the directory for temporary files.
    certs = directory / "k8s-webhook-server/serving-certs"
    authority = Authority(certs)
    authority.create()
    authority.server("tls", made.name, [host])
    with held(2) as (port, health):
        pass
    argv = (str(made), f"--webhook-port={port}", f"--health-probe-addr={host}:{health}", *more)
    env = (
        *(("KUBECONFIG", str(cluster.kubeconfig)), ("TMPDIR", str(directory))),
        ("POD_NAMESPACE", NAMESPACE),
    )
    cluster.processes.start(Command(made.name, (*argv, "--metrics-addr=0"), env))
    wait_for(lambda: answers(f"http://{host}:{health}/readyz"), 60, "KServe's controller")
    ca = base64.b64encode(authority.ca.certificate.read_bytes()).decode()
    return Reached(f"https://{host}:{port}", ca)
