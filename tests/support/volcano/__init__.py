"""The real Volcano: its definitions, its scheduler and its controllers, built from the module proxy.

Both run as processes with the administrator's rights, beside the cluster's own scheduler, and take the
pods that name them. Its webhooks only judge and default Volcano's own objects, and are left out.
"""

from __future__ import annotations

from pathlib import Path

from tests.support import definitions, gomodule
from tests.support.cluster import Cluster, build, tools
from tests.support.cluster.paths import VOLCANO_MODULE
from tests.support.cluster.ports import held
from tests.support.cluster.processes import Command
from tests.support.cluster.progress import Progress
from tests.support.stack import answers, wait_for

NAME = "volcano"
_PROGRAMS = (tools.VOLCANO_SCHEDULER, tools.VOLCANO_CONTROLLERS)


def source() -> Path:
    """Where the module lies; it is brought by the build, or by this."""
    return gomodule.directory(tools.VOLCANO, within=VOLCANO_MODULE)


def install(cluster: Cluster, directory: Path) -> None:
    """Definitions, scheduler and controllers; they end with the cluster."""
    build.ensure(_PROGRAMS, Progress())
    for kind in ("volcano", "jobflow"):
        for crd in sorted((source() / f"config/crd/{kind}/bases").glob("*.yaml")):
            group, _, plural = crd.stem.partition("_")
            definitions.define(cluster, crd, f"{plural}.{group}")
    cluster.kubectl("create", "namespace", "volcano-system")
    # As Volcano's chart has it.
    settings = source() / "installer/helm/chart/volcano/config/volcano-scheduler.conf"
    dumps = directory / NAME
    dumps.mkdir()
    _start(cluster, tools.VOLCANO_CONTROLLERS.name)
    _start(
        cluster,
        tools.VOLCANO_SCHEDULER.name,
        f"--scheduler-conf={settings}",
        f"--cache-dump-dir={dumps}",
    )


def _start(cluster: Cluster, name: str, *more: str) -> None:
    host = cluster.host_address
    with held(2) as (listens, health):
        pass
    argv = (
        str(tools.path_of(name)),
        f"--kubeconfig={cluster.kubeconfig}",
        f"--scheduler-name={NAME}",
        "--leader-elect=false",
        "--enable-healthz=true",
        f"--healthz-address={host}:{health}",
        f"--listen-address={host}:{listens}",
        *more,
    )
    cluster.processes.start(Command(name, argv, ()))
    wait_for(lambda: answers(f"http://{host}:{health}/healthz"), 60, f"Volcano's {name}")
