"""KServe's own controllers, built from its module, as processes."""

from __future__ import annotations

from pathlib import Path

from tests.support import gomodule, webhooks
from tests.support.cluster import Cluster
from tests.support.cluster.paths import tool_cache
from tests.support.kserve import SUM, VERSION, source
from tests.support.once import once

NAMESPACE = "kserve"


def program(name: str, package: str) -> Path:
    """The program `name` of a package of KServe's; some minutes where it is not there yet."""
    directory = tool_cache() / f"{name}-{VERSION}"
    once(directory, f"1 {SUM}", lambda: _build(directory / name, package))
    return directory / name


def _build(program: Path, package: str) -> None:
    program.parent.mkdir(parents=True)
    gomodule.build(source(), package, program)


def start(cluster: Cluster, made: Path, directory: Path, *more: str) -> tuple[str, str]:
    """Start a controller, which ends with the cluster; where its webhooks are reached."""
    # Where controller-runtime looks for a certificate, below the directory for temporary files.
    certs = directory / "k8s-webhook-server/serving-certs"
    place = webhooks.Place.made(cluster, made.name, certs)
    addresses = (
        f"--webhook-port={place.port}",
        f"--health-probe-addr={place.host}:{place.health}",
        "--metrics-addr=0",
    )
    argv = (str(made), *addresses, *more)
    env = {"TMPDIR": str(directory), "POD_NAMESPACE": NAMESPACE}
    webhooks.start(cluster, made.name, argv, place, **env)
    return place.reached
