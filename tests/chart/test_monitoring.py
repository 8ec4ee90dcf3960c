"""What depends on the cluster's kinds and on files of the chart: monitors, alerts, dashboards."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from llama_operator.chart.generate import CHART
from tests.chart.helm import MONITORING, Refused, kinds, of, rendered
from tests.chart.kinds import validate
from tests.chart.variants import EVERYTHING

Object = dict[str, Any]


def test_monitors_come_where_the_cluster_knows_them_or_by_will() -> None:
    monitors = {"ServiceMonitor", "PodMonitor"}
    assert not kinds(rendered()) & monitors
    assert kinds(rendered({}, *MONITORING)) >= monitors
    off = {"serviceMonitor": {"enabled": False}, "podMonitors": {"enabled": False}}
    assert not kinds(rendered({"metrics": off}, *MONITORING)) & monitors


def test_pod_monitors_select_what_the_operator_makes() -> None:
    monitors = [each for each in rendered(EVERYTHING) if each["kind"] == "PodMonitor"]
    found = {
        each["metadata"]["name"]: (
            each["spec"]["podMetricsEndpoints"][0]["port"],
            *(tuple(e.get("values", ())) for e in each["spec"]["selector"]["matchExpressions"]),
            each["spec"]["podMetricsEndpoints"][0]["relabelings"],
        )
        for each in monitors
    }

    def name_of(label: str) -> list[Object]:
        source = f"__meta_kubernetes_pod_label_llamactl_dev_{label}"
        return [{"sourceLabels": [source], "targetLabel": "name"}]

    unwanted = ("false",)
    assert found == {
        "ops-servers": ("http", (), ("server", "canary"), unwanted, name_of("deployment")),
        "ops-activators": ("admin", (), ("activator",), unwanted, name_of("deployment")),
        "ops-weights": ("metrics", (), ("fetch", "verify"), unwanted, name_of("weights")),
    }
    one = of("PodMonitor", rendered({"watchNamespace": "a"}, *MONITORING),
             "llama-operator-servers")  # fmt: skip
    assert one["spec"]["namespaceSelector"] == {"matchNames": ["a"]}


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A copy of the chart, with alerts and dashboards of the test's own only."""
    copy = tmp_path / "llama-operator"
    shutil.copytree(CHART, copy)
    for folder in ("alerts", "dashboards"):
        shutil.rmtree(copy / "files" / folder, ignore_errors=True)
        (copy / "files" / folder).mkdir()
    return copy


def test_without_files_there_are_no_rules_and_dashboards(chart: Path) -> None:
    found = kinds(
        rendered({"metrics": {"dashboards": {"enabled": True}}}, *MONITORING, chart=chart)
    )
    assert not found & {"PrometheusRule", "ConfigMap"}


def test_alerts_and_dashboards_are_taken_as_they_are(chart: Path) -> None:
    rule = {
        "alert": "A",
        "expr": "up == 0",
        "annotations": {"summary": "{{ $labels.pod }} is down"},
    }
    groups = [{"name": "g", "rules": [rule]}]
    (chart / "files/alerts/one.yaml").write_text(yaml.safe_dump({"groups": groups}))
    board = '{"title": "T", "expr": "{{pod}}",\n "x": [1]}\n'
    (chart / "files/dashboards/fleet.json").write_text(board)
    values = {"metrics": {"dashboards": {"enabled": True}, "rules": {"labels": {"release": "p"}}}}
    objects = rendered(values, *MONITORING, chart=chart)
    made = of("PrometheusRule", objects)
    validate(made)
    assert made["spec"] == {"groups": groups}
    assert made["metadata"]["labels"]["release"] == "p"
    config_map = of("ConfigMap", objects)
    assert config_map["data"] == {"fleet.json": board}
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config_map["metadata"]["annotations"] == {"grafana_folder": "Llama"}


def test_runbooks_are_where_the_release_says() -> None:
    default, own = (
        {
            each["alert"]: each["annotations"]["runbook_url"]
            for obj in rendered({"metrics": {"rules": values}}, *MONITORING)
            if obj["kind"] == "PrometheusRule"
            for group in obj["spec"]["groups"]
            for each in group["rules"]
            if "alert" in each
        }
        for values in ({}, {"runbookUrl": "https://wiki.example/llama/"})
    )
    assert len(own) == len(default) >= 12
    assert default == {name: f"https://llamactl.dev/runbooks/{name}" for name in default}
    assert own == {name: f"https://wiki.example/llama/{name}" for name in default}
    with pytest.raises(Refused, match="runbookUrl"):
        rendered({"metrics": {"rules": {"runbookUrl": "wiki"}}}, *MONITORING)


def test_alerts_that_are_none_are_refused(chart: Path) -> None:
    (chart / "files/alerts/odd.yaml").write_text("rules: []\n")
    with pytest.raises(Refused, match=r"files/alerts/odd\.yaml: there is no list `groups`"):
        rendered({}, *MONITORING, chart=chart)
