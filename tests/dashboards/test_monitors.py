"""The chart's monitors, run by Prometheus' own code on pods as the operator renders them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.helm import MONITORING, of, rendered
from tests.support.builders import COMMIT, serving, weights, weights_view
from tests.support.prometheus import discovery, monitors

from llama_operator.reconcile import source
from llama_operator.render import jobs, pod

Object = dict[str, Any]


@pytest.fixture(scope="module")
def chart() -> list[Object]:
    return rendered({}, *MONITORING)


def running(name: str, template: Object) -> Object:
    meta = {**template["metadata"], "namespace": "team", "name": name}
    return {**template, "metadata": meta, "status": {"podIP": "10.0.0.7", "phase": "Running"}}


SERVER = running("web-1", pod.template(serving()))
FETCH = running(
    "fetch-1",
    jobs.fetch(source.fetching(weights_view(weights(status={"commit": COMMIT, "bytes": 1}))))[
        "spec"
    ]["template"],
)
FOREIGN = running("other", {**SERVER, "metadata": {"labels": {"app": "other"}}})


def labels(promtool: Path, folder: Path, config: Object) -> list[dict[str, str]]:
    """What each target that is kept is labelled with, instances and jobs left out."""
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump({"scrape_configs": [config]}))
    command = [promtool, "check", "service-discovery", "--timeout=200ms", file, config["job_name"]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ours = ("namespace", "name", "pod", "service", "container", "endpoint")
    kept = [each["labels"] for each in json.loads(done.stdout) if each["labels"]]
    return [{name: each[name] for name in ours if name in each} for each in kept]


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [
        ("servers", {"name": "web", "pod": "web-1", "container": "engine", "endpoint": "http"}),
        ("weights", {"name": "w", "pod": "fetch-1", "container": "fetch", "endpoint": "metrics"}),
    ],
)
def test_a_pod_monitor_takes_its_own_pods_and_names_their_owner(
    promtool: Path, tmp_path: Path, chart: list[Object], monitor: str, expected: Object
) -> None:
    found = {"static_configs": discovery.pods([SERVER, FETCH, FOREIGN])}
    typed = of("PodMonitor", chart, f"llama-operator-{monitor}")
    config = monitors.of_pods(typed, found, "1s")
    assert labels(promtool, tmp_path, config) == [{"namespace": "team", **expected}]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_deployment_may_not_want_to_be_scraped(
    promtool: Path, tmp_path: Path, chart: list[Object], wanted: bool
) -> None:
    wish = serving(observability={"podMonitor": wanted})
    pods = discovery.pods([running("web-1", pod.template(wish))])
    typed = of("PodMonitor", chart, "llama-operator-servers")
    config = monitors.of_pods(typed, {"static_configs": pods}, "1s")
    assert len(labels(promtool, tmp_path, config)) == wanted


def test_a_pod_that_has_ended_is_not_asked(
    promtool: Path, tmp_path: Path, chart: list[Object]
) -> None:
    ended = {**FETCH, "status": {**FETCH["status"], "phase": "Succeeded"}}
    typed = of("PodMonitor", chart, "llama-operator-weights")
    config = monitors.of_pods(typed, {"static_configs": discovery.pods([ended])}, "1s")
    assert labels(promtool, tmp_path, config) == []


def test_the_service_monitor_finds_the_operator_and_keeps_its_labels(
    promtool: Path, tmp_path: Path, chart: list[Object]
) -> None:
    group = discovery.behind(of("Service", chart), "10.0.0.9:8081", "llama-operator-1")
    config = monitors.of_services(of("ServiceMonitor", chart), {"static_configs": [group]}, "1s")
    assert config["honor_labels"] is True
    assert labels(promtool, tmp_path, config) == [
        {
            "namespace": "llama-system",
            "pod": "llama-operator-1",
            "service": "llama-operator",
            "endpoint": "metrics",
        }
    ]
