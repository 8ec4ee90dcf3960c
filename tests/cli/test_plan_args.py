"""What a plan asks of others: flags that its vLLM takes, and YAML that the operator plans alike."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import yaml

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.catalog import catalog
from llama_operator.planner import gpus
from llama_operator.planner.plan import plan
from llama_operator.reconcile import planning
from tests.cli.conftest import Run
from tests.support.vllm_cpu.install import install

ASKED = [
    ("70b", "--gpu", "H100", "--gpus", 8),
    ("70b", "--gpu", "H100"),
    ("8b", "--gpu", "L4"),
    ("8b", "--gpu", "L4", "--kv-cache-dtype", "fp8", "--max-model-len", 16384),
    ("8b", "--gpu", "L4", "--max-model-len", 16384, "--concurrency", 4),
    ("70b", "--gpu", "H100", "--quantization", "fp8", "--enforce-eager"),
    ("70b", "--gpu", "H100", "--objective", "latency"),
    ("70b", "--gpu", "A100-80GB", "--objective", "throughput"),
    ("llama-3.1-405b-instruct-fp8", "--gpu", "H100"),
    ("scout", "--gpu", "MI300X"),
    ("1b", "--device", "cpu", "--gpus", 2),
    ("llama-3.1-405b-instruct-bf16-mp16", "--gpu", "H100", "--nodes", 2),
    ("8b", "--gpu", "H100", "--nodes", 2, "--tensor-parallel", 8),
]


def chosen(llamactl: Run, *args: object) -> dict[str, Any]:
    result = llamactl("plan", *args, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout)["chosen"])


def flags(llamactl: Run, *args: object) -> list[str]:
    return list(chosen(llamactl, *args)["vllmArgs"])


@pytest.mark.parametrize("args", ASKED, ids=lambda args: " ".join(map(str, args)))
def test_the_operator_plans_the_yaml_alike(llamactl: Run, args: tuple[object, ...]) -> None:
    result = llamactl("plan", *args, "-o", "yaml")
    spec = LlamaDeploymentSpec.model_validate(yaml.safe_load(result.stdout)["spec"])
    model = catalog.load().find(spec.model)
    assert model is not None
    offer = planning.Cards(gpus.find(spec.gpu.product), 8) if spec.gpu.product else None
    asked = planning.request(spec, (model.shape, model.weights_bytes), offer)
    wanted, found = chosen(llamactl, *args), plan(asked).to_status()
    same = set(found) - {"reason"}
    assert {key: found[key] for key in same} == {key: wanted[key] for key in same}


def test_more_nodes_are_said_in_the_way_of_the_version(llamactl: Run) -> None:
    args = ("405b", "--gpu", "H100", "--nodes", 2)
    assert "--nnodes=2" in flags(llamactl, *args)
    old = flags(llamactl, *args, "--vllm-version", "0.11.0")
    assert "--distributed-executor-backend=ray" in old and "--nnodes=2" not in old
    one = flags(llamactl, "8b", "--gpu", "H100")
    assert not any("nnodes" in flag or "executor" in flag for flag in one)


def test_an_old_engine_is_told_to_cut_prompts(llamactl: Run) -> None:
    """Before 0.8 vLLM refuses a batch that is smaller than the context."""
    cut = "--enable-chunked-prefill"
    assert cut in flags(llamactl, "8b", "--gpu", "H100", "--vllm-version", "0.6.3")
    args = ("8b", "--gpu", "H100", "--max-model-len", 4096)
    assert cut not in flags(llamactl, *args, "--vllm-version", "0.6.3")
    assert cut not in flags(llamactl, "8b", "--gpu", "H100")


def test_a_model_that_the_version_does_not_know(llamactl: Run) -> None:
    args = ("plan", "scout", "--gpu", "H100", "--vllm-version")
    result = llamactl(*args, "0.8.2")
    assert result.exit_code == 1
    assert "--vllm-version: vLLM 0.8.2 does not know Llama4" in result.stderr
    assert "Use 0.8.3 or newer." in result.stderr
    assert llamactl(*args, "0.8.3").exit_code == 0


_PARSE = """
import json, sys
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = AsyncEngineArgs.add_cli_args(FlexibleArgumentParser())
for words in json.load(sys.stdin):
    parser.parse_args(["--model", "x", *words])
print("all parsed")
"""


@pytest.mark.vllm
def test_vllm_itself_takes_the_flags(llamactl: Run) -> None:
    words = [flags(llamactl, *args, "--vllm-version", "0.32.0") for args in ASKED]
    words.append(flags(llamactl, "405b", "--gpu", "H100", "--vllm-version", "0.32.0"))
    done = subprocess.run(
        [str(install() / "bin/python"), "-c", _PARSE], input=json.dumps(words),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split("\n")[-2]) == (0, "all parsed"), done.stderr[-2000:]
