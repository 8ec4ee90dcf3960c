"""`plan` and `deploy` for transformers: the same words as the operator's, and no flag of vLLM."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.cli.conftest import Run


def test_a_plan_names_its_engine_and_no_flags(llamactl: Run) -> None:
    result = llamactl("plan", "8b", "--gpu", "L4", "--engine", "transformers", "-o", "json")
    chosen = json.loads(result.stdout)["chosen"]
    assert (chosen["engine"], chosen["vllmArgs"], chosen["vllmVersion"]) == ("transformers", [], "")
    assert chosen["maxNumSeqs"] == 1
    assert chosen["pipelineParallel"] == chosen["gpus"] == 1


def test_the_manifest_asks_for_what_was_planned(llamactl: Run) -> None:
    result = llamactl("plan", "8b", "--gpu", "L4", "--engine", "transformers", "-o", "yaml")
    spec = yaml.safe_load(result.stdout)["spec"]
    assert spec["engine"] == {"type": "transformers"}
    assert spec["gpu"]["count"] == 1
    assert 2048 <= spec["sizing"]["maxModelLen"] < 131_072


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tensor-parallel", 2), "--tensor-parallel"),
        (("--max-num-seqs", 4), "--max-num-seqs"),
        (("--enforce-eager",), "--enforce-eager"),
        (("--quantization", "fp8"), "16 bits"),
    ],
)
def test_options_of_vllm_are_refused_by_name(
    llamactl: Run, options: tuple[object, ...], said: str
) -> None:
    result = llamactl("plan", "8b", "--gpu", "L4", "--engine", "transformers", *options)
    assert result.exit_code == 1
    assert said in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_a_version_of_vllm_excludes_it(llamactl: Run) -> None:
    version = ("--engine", "transformers", "--vllm-version", "0.24.0")
    result = llamactl("plan", "8b", "--gpu", "L4", *version)
    assert result.exit_code == 2
    assert "--vllm-version" in result.stderr


def test_deploy_writes_the_type(llamactl: Run) -> None:
    result = llamactl("deploy", "8b", "--engine", "transformers", "--dry-run=client")
    assert yaml.safe_load(result.stdout)["spec"]["engine"] == {"type": "transformers"}
