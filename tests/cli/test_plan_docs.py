"""docs/sizing.md says what is so: the printed lines, the keys of the JSON, a user's models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from llama_operator.catalog import catalog
from tests.cli.conftest import Run

PAGE = (Path(__file__).resolve().parents[2] / "docs/sizing.md").read_text()
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SHOWN = [
    (FENCES[at - 1][1].strip().split("#")[0], text)
    for at, (language, text) in enumerate(FENCES)
    if language == ""
]


@pytest.mark.parametrize(("command", "lines"), SHOWN, ids=[command for command, _ in SHOWN])
def test_what_it_shows_is_printed(llamactl: Run, command: str, lines: str) -> None:
    result = llamactl(*command.split()[1:])
    for line in lines.strip().splitlines():
        assert line.removesuffix("...") in result.stdout + result.stderr


def test_the_keys_of_the_contract_are_listed(llamactl: Run) -> None:
    table = PAGE.split("| key | what it is |")[1].split("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", table)) - {"GPU", "vllm", "serve"}
    result = llamactl("plan", "70b", "--gpu", "H100", "--gpus", 8, "-o", "json")
    chosen = json.loads(result.stdout)["chosen"]
    assert set(chosen) | set(chosen["perGpu"]) | {"nodeNames"} == named


def documents() -> list[dict[str, Any]]:
    return [yaml.safe_load(text) for language, text in FENCES if language == "yaml"]


def test_a_config_map_of_models_is_planned_and_mounted(
    llamactl: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_map, patch = documents()
    (name,) = config_map["data"]
    file = tmp_path / name
    file.write_text(config_map["data"][name])
    model = catalog.load(file).get("smollm2-360m-instruct")
    assert model is not None and model.weights_bytes == 2 * model.params
    monkeypatch.setenv("LLAMACTL_MODELS", str(file))
    assert llamactl("plan", model.id, "--gpu", "L4", "--gpus", 5).exit_code == 0
    pod = patch["spec"]["template"]["spec"]
    (container,), (volume,) = pod["containers"], pod["volumes"]
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    (mount,) = container["volumeMounts"]
    assert mount["name"] == volume["name"]
    assert f"--models-file={mount['mountPath']}/{name}" in container["args"]


def test_the_operator_takes_the_same_file(tmp_path: Path) -> None:
    from llama_operator.config import Config
    from llama_operator.process import models

    file = tmp_path / "models.yaml"
    file.write_text(documents()[0]["data"]["models.yaml"])
    assert models(str(file)).find("HuggingFaceTB/SmolLM2-360M-Instruct") is not None
    assert Config().models_file == ""


def test_the_table_of_versions_is_the_planners(llamactl: Run) -> None:
    rows = re.findall(r"^\| ([^|]*0\.[^|]*) \|[^|]*\| (0\.\d\d) \|", PAGE, re.MULTILINE)
    assert len(rows) == 6
    for versions, share in rows:
        minor = int(re.findall(r"0\.(\d+)", versions)[0]) - ("before" in versions)
        args = ("8b", "--gpu", "H100", "--vllm-version", f"0.{minor}.0", "-o", "json")
        chosen = json.loads(llamactl("plan", *args).stdout)["chosen"]
        assert chosen["gpuMemoryUtilization"] == float(share), versions
