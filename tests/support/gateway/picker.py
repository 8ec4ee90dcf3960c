"""The real endpoint picker of the inference extension, built from its module, as a process.

It runs with the arguments and the account that the operator has made for it. Its ports alone are
others: those of the pod may be taken on this machine.
"""

from __future__ import annotations

from typing import Any

from tests.support.cluster import Cluster, build, tools
from tests.support.cluster.ports import held
from tests.support.cluster.processes import Command
from tests.support.cluster.progress import Progress
from tests.support.gateway.envoy import Asked

Object = dict[str, Any]
NAME = tools.PICKER.name


def install() -> None:
    """Build it, once by version; a few minutes."""
    build.ensure([tools.PICKER], Progress())


def start(cluster: Cluster, deployment: Object) -> Asked:
    """Start what a Deployment of ours would; it ends with the cluster."""
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    account = pod["serviceAccountName"]
    config = cluster.service_account_kubeconfig(deployment["metadata"]["namespace"], account)
    with held(3) as (port, health, metrics):
        pass
    own = (f"--grpc-port={port}", f"--grpc-health-port={health}", f"--metrics-port={metrics}")
    argv = (str(tools.path_of(NAME)), *container["args"], *own)
    cluster.processes.start(Command(NAME, argv, (("KUBECONFIG", str(config)),)))
    return Asked(port, health, container["readinessProbe"]["grpc"]["service"])
