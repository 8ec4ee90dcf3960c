"""Dashboards: well formed, and on series that exist."""

from __future__ import annotations

import json
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.support.prometheus import grafana, names, promql

from llama_operator.telemetry.dashboards import ALL
from llama_operator.telemetry.dashboards.__main__ import DIRECTORY, main
from llama_operator.telemetry.dashboards.grafana import COLUMNS

QUERIES = grafana.queries(ALL)
DOCUMENTS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(DIRECTORY.glob("*.json"))
}
each_document = pytest.mark.parametrize("name", DOCUMENTS)


# -- as generated -----------------------------------------------------------------------------


def test_the_files_are_as_generated() -> None:
    assert set(DOCUMENTS) == {each.uid for each in ALL}
    result = CliRunner().invoke(main, ["--check"])
    assert result.exit_code == 0, result.output


def test_a_changed_and_a_foreign_file_are_seen(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["--write", "--directory", str(tmp_path)]).exit_code == 0
    assert CliRunner().invoke(main, ["--check", "--directory", str(tmp_path)]).exit_code == 0
    (tmp_path / "llama-fleet.json").write_text("{}")
    (tmp_path / "other.json").write_text("{}")
    result = CliRunner().invoke(main, ["--check", "--directory", str(tmp_path)])
    assert result.exit_code == 1
    assert "llama-fleet.json, other.json are not as generated" in result.output


@each_document
def test_grafana_can_place_every_panel(name: str) -> None:
    panels = DOCUMENTS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 10
    places = [panel["gridPos"] for panel in panels]
    assert all(at["x"] >= 0 and at["x"] + at["w"] <= COLUMNS for at in places)
    for one, two in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= two["x"]
            or two["x"] + two["w"] <= one["x"]
            or one["y"] + one["h"] <= two["y"]
            or two["y"] + two["h"] <= one["y"]
        )
        assert apart, (one, two)


@each_document
def test_everything_hangs_on_the_variables(name: str) -> None:
    document = DOCUMENTS[name]
    known = {variable["name"] for variable in document["templating"]["list"]}
    assert {"datasource", "namespace"} < known
    assert "name" in known or name == "llama-operator"  # that has `pod`
    panels = [panel for panel in document["panels"] if panel["type"] != "row"]
    for panel in panels:
        assert panel["targets"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            used = grafana.variables(target["expr"])
            assert used <= known | {"__rate_interval"}, target["expr"]


def test_a_table_names_or_hides_every_value() -> None:
    for document in DOCUMENTS.values():
        for panel in (each for each in document["panels"] if each["type"] == "table"):
            organize = panel["transformations"][1]["options"]
            refs = [target["refId"] for target in panel["targets"]]
            values = {f"Value #{ref}" for ref in refs} if len(refs) > 1 else {"Value"}
            assert values == {*organize["renameByName"], *organize["excludeByName"]} - {"Time"}


# -- queries ----------------------------------------------------------------------------------


def test_every_query_parses(promtool: Path, tmp_path: Path) -> None:
    rules = [
        {"record": f"query_{place}", "expr": grafana.asked(query.expr)}
        for place, (_, _, query) in enumerate(QUERIES)
    ]
    assert len(rules) > 80
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "panel", "query"), QUERIES, ids=[each[0] for each in QUERIES])
def test_what_a_query_reads_exists(name: str, panel: Any, query: Any) -> None:
    read = promql.metrics(query.expr)
    there = names.everything()
    foreign = {metric for metric in read - there if metric.startswith("DCGM_FI_DEV_")}
    assert read and read <= there | foreign, sorted(read - there)
    assert not foreign or panel.apart


def test_panels_that_may_be_empty_are_few_and_documented() -> None:
    apart = {panel.title for _, panel, _ in QUERIES if panel.apart}
    assert apart == {"Busy", "Memory in use", "Power", "What is wrong", "Size and load do not fit"}
    page = (DIRECTORY.parents[3] / "docs/dashboards.md").read_text()
    assert all(title in page for title in apart)
