"""Alerts: each fires and keeps quiet as it should, reads what there is, and has its page."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs import markdown
from tests.docs.markdown import PROJECT
from tests.docs.reasons import reasons
from tests.support.prometheus import names, promql

from llama_operator.api.conditions import DEPLOYMENT_REASONS
from llama_operator.diagnose import events, pods
from llama_operator.diagnose.causes import CAUSES

RULES = sorted((PROJECT / "charts/llama-operator/files/alerts").glob("*.yaml"))
CASES = sorted((PROJECT / "tests/alerts").glob("*.yaml"))
RUNBOOKS = PROJECT / "docs/runbooks"
# That nothing is wrong; and what is called otherwise by the cause that is found.
NO_FAULT = {"Healthy", "StartupTimeout"}
SECTIONS = ("## Meaning", "## Look", "## Fix")


def rules() -> list[dict[str, Any]]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
each_alert = pytest.mark.parametrize("name", ALERTS)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_alerts_fire_and_keep_quiet(promtool: Path, case: Path) -> None:
    done = subprocess.run(
        [promtool, "test", "rules", case], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_is_tested() -> None:
    assert [path.name for path in RULES] == [path.name for path in CASES]
    assert len(ALERTS) == len([rule for rule in rules() if "alert" in rule]) >= 12


@each_alert
def test_an_alert_has_a_case_that_fires_and_one_that_does_not(name: str) -> None:
    expected = [
        bool(check["exp_alerts"])
        for path in CASES
        for test in yaml.safe_load(path.read_text())["tests"]
        for check in test["alert_rule_test"]
        if check["alertname"] == name
    ]
    assert set(expected) == {True, False}


def test_what_rules_read_exists() -> None:
    there = names.everything() | {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        read = promql.metrics(rule["expr"])
        assert read and read <= there, f"{rule}: no series {sorted(read - there)}"


def test_what_rules_compare_with_is_set_by_the_code() -> None:
    known = set(reasons()) | {"Paused", *events.REASONS}
    for rule in rules():
        named = promql.words(rule["expr"], "state", "cause")
        assert named <= known, f"{rule['alert']}: {named - known}"


def test_only_what_ends_servers_is_called_a_crash() -> None:
    """Whatever else Degraded may name, new reasons as well, is left out of the alert by name."""
    left_out = promql.words(ALERTS["LlamaCrashLooping"]["expr"], "cause")
    ends = {each.name for each in CAUSES} | {"CrashLooping", "OutOfMemory", "RankLost"}
    known = {*DEPLOYMENT_REASONS["Degraded"], *pods._HELD, *events.REASONS}
    assert left_out == known - ends - NO_FAULT


@each_alert
def test_an_alert_says_how_bad_what_and_where_to_read(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"] in ({"severity": "warning"}, {"severity": "critical"})
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"https://llamactl.dev/runbooks/{name}"
    assert re.fullmatch(r"\d+m", alert["for"])


@each_alert
def test_an_alert_has_a_runbook(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    for heading in SECTIONS:
        assert markdown.section(text, heading).strip(), f"{name}: {heading} is empty"
    assert f"(runbooks/{name}.md)" in (PROJECT / "docs/alerts.md").read_text()


@pytest.mark.parametrize(
    "page", [*RUNBOOKS.glob("*.md"), PROJECT / "docs/alerts.md"], ids=markdown.name
)
def test_metrics_that_a_page_names_exist(page: Path) -> None:
    there = names.everything()
    there |= {name.removesuffix(end) for name in there for end in ("_bucket", "_total", "_info")}
    for span in markdown.spans(page.read_text()):
        if re.fullmatch(r"vllm:\w+|llama_(operator|weights|guard)_\w+", span):
            assert span in there, span


def test_no_runbook_is_of_an_alert_that_is_gone() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(ALERTS)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('sum by (a, b) (rate(x_total{c=~"d|e"}[5m])) > 14.4 * 0.05', {"x_total"}),
        ("vllm:a - time() < 1e3 unless on (n) max(b offset 5m)", {"vllm:a", "b"}),
        ('label_replace(up{a="b, c(d)"}, "k", "v", "", "")', {"up"}),
        ("a / on (n) group_left (model) b or absent(c)", {"a", "b", "c"}),
    ],
)
def test_metrics_are_found_in_expressions(expression: str, found: set[str]) -> None:
    assert promql.metrics(expression) == found
