"""A real Prometheus scrapes the real operator over TLS, as the chart's ServiceMonitor tells it to."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.chart.helm import MONITORING, of, rendered
from tests.support.cluster import Cluster
from tests.support.cluster.pki import Authority, Pair
from tests.support.mounted import Mounted
from tests.support.prometheus import discovery, monitors, server
from tests.support.prometheus.install import find
from tests.support.prometheus.operators import addresses
from tests.support.prometheus.server import Prometheus
from tests.support.stack import OPERATOR, Stack, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
Object = dict[str, Any]
TLS = {"secretName": "op-tls", "clientCaSecretName": "scrapers", "clientSecretName": "prom-tls"}
EVERY = "1s"
WATCHED = {
    "apiVersion": "llamactl.dev/v1alpha1",
    "kind": "LlamaDeployment",
    "metadata": {"name": "watched", "namespace": "default"},
    "spec": {"model": "llama-3.1-8b-instruct", "gpu": {"count": 1}},
}


@dataclass(frozen=True)
class Secrets:
    """What cert-manager would make: who signs, and the Secrets of the chart as directories."""

    directory: Path
    authority: Authority
    other: Authority
    name: str

    @classmethod
    def made(cls, directory: Path, name: str) -> Secrets:
        """New ones for a server of this name."""
        authority, other = Authority(directory / "own"), Authority(directory / "other")
        for each in (authority, other):
            each.create()
        secrets = cls(directory, authority, other, name)
        client = authority.client("prometheus", "prometheus")
        secrets.write("op-tls", {"ca.crt": authority.ca.certificate})
        secrets.write("prom-tls", {"tls.crt": client.certificate, "tls.key": client.key})
        secrets.write("strange", {"ca.crt": other.ca.certificate})
        return secrets

    def write(self, name: str, entries: dict[str, Path]) -> None:
        """One Secret."""
        (self.directory / name).mkdir()
        for entry, source in entries.items():
            (self.directory / name / entry).write_bytes(source.read_bytes())

    def pair(self, name: str) -> Pair:
        """Another one for the server."""
        return self.authority.server(name, name, [self.name])


@dataclass(frozen=True)
class World:
    """The operator with what it has mounted."""

    stack: Stack
    secrets: Secrets
    mounted: Mounted

    @property
    def target(self) -> tuple[str, str]:
        """Address and name of the operator."""
        ((address, name),) = addresses(self.stack)
        return address, name

    def shown(self) -> str:
        """The certificate that a new connection gets."""
        host, port = self.target[0].split(":")
        return ssl.get_server_certificate((host, int(port)))


@pytest.fixture(scope="module")
def chart() -> list[Object]:
    if find("prometheus") is None:
        pytest.skip("there is no prometheus: `make prepare` unpacks Debian's package")
    return rendered({"metrics": {"tls": TLS}}, *MONITORING)


@pytest.fixture(scope="module")
def world(chart: list[Object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("tls")
    (endpoint,) = of("ServiceMonitor", chart)["spec"]["endpoints"]
    secrets = Secrets.made(directory / "secrets", endpoint["tlsConfig"]["serverName"])
    mounted = Mounted(directory / "mounted", secrets.pair("first"))
    with Cluster.control_plane(directory / "cluster") as cluster:
        stack = Stack(cluster)
        stack.install()
        cluster.kubectl("apply", "-f", "-", input=json.dumps(WATCHED))
        stack.start_operator(
            "https://hub.invalid",
            "--weights-runtime-class=",
            f"--metrics-tls-dir={mounted.directory}",
            f"--metrics-client-ca={secrets.authority.ca.certificate}",
        )
        yield World(stack, secrets, mounted)
        stack.stop(OPERATOR)


@pytest.fixture
def prometheus(world: World, chart: list[Object], tmp_path: Path) -> Iterator[Prometheus]:
    """It scrapes as the chart says; as a stranger without a certificate; and by a wrong authority."""
    service = of("Service", chart)
    group = discovery.behind(service, *world.target)
    monitor = of("ServiceMonitor", chart)
    config = monitors.of_services(
        monitor, {"static_configs": [group]}, EVERY, world.secrets.directory
    )
    tls = config["tls_config"]
    bare = {name: tls[name] for name in ("ca_file", "server_name")}
    wrong = {**tls, "ca_file": str(world.secrets.directory / "strange" / "ca.crt")}
    scrapes = [config, _as("bare", config, bare), _as("wrong", config, wrong)]
    with server.running(tmp_path, scrapes, EVERY) as started:
        yield started


def _as(name: str, config: Object, tls: Object) -> Object:
    """The same by another certificate or authority, under a name of its own."""
    job = {"target_label": "job", "replacement": name}
    relabelings = [*config["relabel_configs"], job]
    return {**config, "job_name": name, "tls_config": tls, "relabel_configs": relabelings}


def value(prometheus: Prometheus, expr: str) -> float | None:
    """The one value of an expression now; None while there is none."""
    (now,) = prometheus.get("query", {"query": "vector(time())"})["result"]
    found = prometheus.instant(expr, float(now["value"][1]))
    return found[0].values[-1] if len(found) == 1 else None


def test_it_is_scraped_over_tls_while_certificates_come_and_go(
    world: World, prometheus: Prometheus
) -> None:
    own = 'job="llama-system/llama-operator"'
    wait_for(lambda: value(prometheus, f"up{{{own}}}") == 1, 30, "the first scrape")
    state = f'llama_operator_deployment_state{{namespace="default", name="watched", {own}}}'
    wait_for(lambda: value(prometheus, state) == 1, 30, "the series of the deployment")
    wait_for(lambda: value(prometheus, 'up{job="bare"}') == 0, 30, "a stranger to be refused")
    wait_for(lambda: value(prometheus, 'up{job="wrong"}') == 0, 30, "a wrong authority to count")
    assert "403" in _error(prometheus, "bare")
    assert "unknown authority" in _error(prometheus, "wrong")

    second = world.secrets.pair("second")
    world.mounted.put(second.certificate, second.key)
    wait_for(lambda: world.shown() == second.certificate.read_text(), 30, "the new certificate")
    reads = f"certwatcher_read_certificate_total{{{own}}}"
    wait_for(lambda: value(prometheus, reads) == 2, 30, "a scrape after it")

    foreign = world.secrets.other.server("foreign", "foreign", [world.secrets.name])
    world.mounted.put(second.certificate, foreign.key)
    errors = f"certwatcher_read_certificate_errors_total{{{own}}}"
    wait_for(lambda: (value(prometheus, errors) or 0) >= 2, 60, "the bad pair to be seen twice")
    assert world.shown() == second.certificate.read_text()
    assert world.stack.log(OPERATOR).count("tls.key is not the key of") == 1
    assert value(prometheus, f"min_over_time(up{{{own}}}[10m])") == 1, "no scrape was lost"


def _error(prometheus: Prometheus, job: str) -> str:
    """What Prometheus says of the last scrape."""
    targets = prometheus.get("targets", {"state": "active"})["activeTargets"]
    (said,) = [each["lastError"] for each in targets if each["scrapePool"] == job]
    return str(said)
