"""`llamactl doctor --log`: a verdict offline, for people and for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Run, process
from tests.unit.diagnose.samples import DATA

LOG = DATA / "recorded" / "kv-cache-too-small.log"
HEALTHY = DATA / "healthy" / "bad-requests-end.log"


def test_the_document_is_cause_evidence_explanation_and_fix(llamactl: Run) -> None:
    result = llamactl("doctor", "--log", LOG, "-o", "json")
    assert result.exit_code == 0
    verdict = json.loads(result.stdout)
    assert list(verdict) == ["cause", "evidence", "explanation", "fix"]
    assert verdict["cause"] == "InsufficientMemoryForContext"
    assert verdict["evidence"] in LOG.read_text()
    assert "1920 would" in verdict["explanation"]
    assert verdict["fix"] == {"spec": {"sizing": {"maxModelLen": 1920}}}
    assert result.stderr == ""


def test_yaml_says_the_same_as_json_and_stdin_the_same_as_a_file(llamactl: Run) -> None:
    verdict = json.loads(llamactl("doctor", "--log", LOG, "-o", "json").stdout)
    assert yaml.safe_load(llamactl("doctor", "--log", LOG, "-o", "yaml").stdout) == verdict
    piped = llamactl("doctor", "--log", "-", "-o", "json", input=LOG.read_text())
    assert json.loads(piped.stdout) == verdict


def test_people_read_cause_evidence_advice_and_patch(llamactl: Run) -> None:
    text = llamactl("doctor", "--log", LOG, env={"COLUMNS": "60"}).stdout
    assert max(map(len, text.splitlines())) <= 60
    for label, value in {
        "Cause": "InsufficientMemoryForContext",
        "Evidence": "ValueError",
        "Meaning": "One request",
        "Do": "Lower spec.sizing",
        "Patch": "spec.sizing.maxModelLen: 1920",
    }.items():
        assert any(line.split(":")[0] == label and value in line for line in text.splitlines())


def test_a_healthy_log_is_judged_without_a_cause(llamactl: Run) -> None:
    result = llamactl("doctor", "--log", HEALTHY, "-o", "json")
    assert result.exit_code == 0
    verdict = json.loads(result.stdout)
    assert (verdict["cause"], verdict["evidence"], verdict["fix"]) == ("Unknown", "", {})


def test_an_unknown_failure_is_said_to_be_unknown_and_exits_with_0(llamactl: Run) -> None:
    result = llamactl("doctor", "--log", "-", input="ValueError: a\nFrobnicationError: b\n")
    assert result.exit_code == 0
    assert "Unknown" in result.stdout
    assert "FrobnicationError: b" in result.stdout
    assert "ValueError: a" in result.stdout


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"\xff\xfe\x00broken\x80\n",
        b"\x00" * 5000,
        bytes(range(256)) * 40,
        b"x" * 300000,
    ],
)
def test_any_bytes_are_judged(llamactl: Run, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "log").write_bytes(data)
    result = llamactl("doctor", "--log", tmp_path / "log", "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["cause"] == "Unknown"


def test_of_a_long_log_the_end_counts(llamactl: Run, tmp_path: Path) -> None:
    noise = "INFO 11-25 10:00:00 [loggers.py:1] Engine 000: fine\n" * 20000
    (tmp_path / "log").write_text(noise + LOG.read_text())
    result = llamactl("doctor", "--log", tmp_path / "log", "-o", "json")
    assert json.loads(result.stdout)["cause"] == "InsufficientMemoryForContext"


@pytest.mark.parametrize(
    "args", [[], ["--log"], ["--log", "/no/such/file"], ["--log", "/"], ["--log", LOG, "-o", "xml"]]
)
def test_wrong_usage_is_2(llamactl: Run, args: list[object]) -> None:
    result = llamactl("doctor", *args)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_it_needs_no_cluster_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from llamactl.app import cli\n"
        f"try: cli.main(['doctor', '--log', {str(LOG)!r}])\n"
        "except SystemExit: pass\n"
        "heavy = ('kubernetes', 'pydantic', 'rich', 'urllib3', 'yaml')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert process("doctor", "--help").returncode == 0
