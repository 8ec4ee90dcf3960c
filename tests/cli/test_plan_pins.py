"""What is pinned is never changed, only judged; and what each objective prefers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from tests.cli.conftest import Run


def planned(llamactl: Run, *args: object, code: int = 0) -> dict[str, Any]:
    result = llamactl("plan", *args, "-o", "json")
    assert result.exit_code == code, result.stderr
    return dict(json.loads(result.stdout))


@pytest.mark.parametrize(
    ("option", "value", "field", "flag"),
    [
        ("--tensor-parallel", 4, "tensorParallel", "--tensor-parallel-size=4"),
        ("--pipeline-parallel", 2, "pipelineParallel", "--pipeline-parallel-size=2"),
        ("--max-model-len", 4096, "maxModelLen", "--max-model-len=4096"),
        ("--max-num-seqs", 17, "maxNumSeqs", "--max-num-seqs=17"),
        ("--max-num-batched-tokens", 4096, "maxNumBatchedTokens", "--max-num-batched-tokens=4096"),
        ("--gpu-memory-utilization", 0.8, "gpuMemoryUtilization", "--gpu-memory-utilization=0.8"),
        ("--dtype", "float16", "dtype", "--dtype=float16"),
        ("--quantization", "fp8", "quantization", "--quantization=fp8"),
        ("--quantization", "none", "quantization", None),
        ("--nodes", 2, "nodes", None),
        ("--kv-cache-dtype", "fp8", None, "--kv-cache-dtype=fp8"),
        ("--enforce-eager", None, None, "--enforce-eager"),
    ],
)
def test_pins_are_kept(
    llamactl: Run, option: str, value: Any, field: str | None, flag: str | None
) -> None:
    words = [option] if value is None else [option, value]
    found = planned(llamactl, "8b", "--gpu", "H100", *words)
    each = [found["chosen"], *found["candidates"]]
    if field:
        assert {c[field] for c in each} == {value}
    if flag:
        assert all(flag in c["vllmArgs"] for c in each)
    without = planned(llamactl, "8b", "--gpu", "H100")["chosen"]
    assert {**found["chosen"]} != without or option == "--quantization"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--tensor-parallel", 3], "--tensor-parallel: 32 attention heads are not divisible by 3"),
        (["--tensor-parallel", 16], "--tensor-parallel: 16 is more than the 8 GPUs of a node"),
        (["--pipeline-parallel", 33], "33 stages are more than the model's 32 layers"),
        (["--gpus", 3, "--tensor-parallel", 2], "3 GPUs"),
        (
            ["--gpus", 4, "--tensor-parallel", 4, "--pipeline-parallel", 2],
            "4 is not --tensor-parallel 4 x --pipeline-parallel 2",
        ),
        (["--max-model-len", 200000], "200,000 tokens are beyond the model's 131,072"),
        (["--max-num-seqs", 9, "--max-num-batched-tokens", 8], "8 is less than maxNumSeqs 9"),
        (["--gpu-memory-utilization", 0.1, "--gpus", 1], "--gpus: 1 GPU"),
        (["--max-num-seqs", 65536], "--max-num-seqs: 65,536 on"),
        (["--gpu-memory-utilization", 0.99, "--gpus", 1], "--gpu-memory-utilization: 0.99 on"),
        (["--kv-cache-dtype", "fp8", "--gpu", "T4"], "--kv-cache-dtype: "),
        (["--quantization", "awq"], "the checkpoint is not awq"),
        (["--dtype", "bfloat16", "--gpu", "T4"], "--dtype: Tesla-T4 has no bfloat16"),
        (["--nodes", 3, "--gpus", 4], "--nodes: 4 GPUs cannot be spread evenly over 3 nodes"),
        (["--vllm-version", "0.24.0", "--gpu", "V100"], "older than vLLM 0.24.0 supports"),
        (["--concurrency", 60000, "--gpu", "L4", "--gpus", 8], "--concurrency: 60,000 on"),
        (
            ["--concurrency", 50, "--gpu", "L4", "--gpus", 8, "--max-model-len", 131072],
            "tokens need",
        ),
    ],
)
def test_a_pin_that_cannot_be_is_refused_with_its_option(
    llamactl: Run, args: list[object], words: str
) -> None:
    gpu = [] if "--gpu" in args else ["--gpu", "H100"]
    result = llamactl("plan", "8b", *gpu, *args)
    assert result.exit_code == 1, result.stdout
    assert words in result.stderr
    assert "spec." not in result.stderr
    assert len(result.stderr.splitlines()) >= 3  # what was meant, the refusal, the fix


def test_a_version_changes_the_memory_and_its_default(llamactl: Run) -> None:
    new, old = (
        planned(llamactl, "8b", "--gpu", "H100", "--vllm-version", version)["chosen"]
        for version in ("0.24.0", "0.11.0")
    )
    assert (new["gpuMemoryUtilization"], old["gpuMemoryUtilization"]) == (0.92, 0.9)
    assert new["perGpu"]["activationBytes"] != old["perGpu"]["activationBytes"]


def test_concurrency_is_held_and_promised_by_the_yaml(llamactl: Run) -> None:
    args = ("8b", "--gpu", "L4", "--max-model-len", 16384, "--concurrency", 4)
    chosen = planned(llamactl, *args)["chosen"]
    assert chosen["kvTokens"] >= 4 * 16384
    assert chosen["estimate"]["batch"] == 4
    sizing = yaml.safe_load(llamactl("plan", *args, "-o", "yaml").stdout)["spec"]["sizing"]
    assert sizing["maxNumSeqs"] == chosen["maxNumSeqs"]
    assert sizing["gpuMemoryUtilization"] == chosen["gpuMemoryUtilization"]


def test_every_pin_is_in_the_yaml(llamactl: Run) -> None:
    pins = {
        "--tensor-parallel": 2, "--pipeline-parallel": 1, "--max-model-len": 8192,
        "--max-num-seqs": 32, "--max-num-batched-tokens": 4096, "--gpu-memory-utilization": 0.85,
        "--kv-cache-dtype": "fp8", "--quantization": "fp8", "--dtype": "bfloat16",
        "--vllm-version": "0.24.0", "--objective": "latency",
    }  # fmt: skip
    words = [word for pair in pins.items() for word in pair]
    result = llamactl("plan", "8b", "--gpu", "H100", *words, "--enforce-eager", "-o", "yaml")
    spec = LlamaDeploymentSpec.model_validate(yaml.safe_load(result.stdout)["spec"])
    sizing = spec.sizing
    assert (sizing.tensor_parallel, sizing.pipeline_parallel, sizing.max_model_len) == (2, 1, 8192)
    assert (sizing.max_num_seqs, sizing.max_num_batched_tokens) == (32, 4096)
    assert (sizing.gpu_memory_utilization, sizing.kv_cache_dtype) == (0.85, "fp8")
    assert (sizing.quantization, sizing.dtype, sizing.objective) == ("fp8", "bfloat16", "latency")
    assert (spec.engine.version, spec.engine.enforce_eager) == ("0.24.0", True)


def _best(found: dict[str, Any], key: str, per_gpu: bool = False) -> float:
    rates = [
        c["estimate"][key] / (c["gpus"] if per_gpu else 1)
        for c in found["candidates"]
        if c["fits"] and "estimate" in c
    ]
    return float(max(rates))


def test_fit_takes_the_fewest_gpus_then_the_least_memory(llamactl: Run) -> None:
    found = planned(llamactl, "70b")
    fitting = [c for c in found["candidates"] if c["fits"]]
    fewest = min(c["gpus"] for c in fitting)
    assert found["chosen"]["gpus"] == fewest
    memory = {c["gpuProduct"]: sum(c["perGpu"].values()) for c in fitting if c["gpus"] == fewest}
    assert memory[found["chosen"]["gpuProduct"]] == min(memory.values())


def test_latency_takes_the_quickest_for_one(llamactl: Run) -> None:
    found = planned(llamactl, "70b", "--objective", "latency")
    assert found["chosen"]["estimate"]["tokensPerSecond"] == _best(found, "tokensPerSecond")
    assert found["chosen"]["gpuProduct"] == "NVIDIA-B200"


def test_throughput_takes_the_most_per_gpu(llamactl: Run) -> None:
    # Four H100 give more in all than two H200, and less each.
    found = planned(llamactl, "70b", "--objective", "throughput", "--gpu", "H100", "--gpu", "H200")
    chosen = found["chosen"]
    assert chosen["estimate"]["batchTokensPerSecond"] < _best(found, "batchTokensPerSecond")
    rate = chosen["estimate"]["batchTokensPerSecond"] / chosen["gpus"]
    assert rate == pytest.approx(_best(found, "batchTokensPerSecond", per_gpu=True))


def test_the_rule_is_stated(llamactl: Run) -> None:
    page = llamactl("plan", "8b", "--objective", "throughput", "--explain").stdout
    assert "of 9 GPUs throughput takes the most tokens/s per GPU" in page
    assert "of 9 GPUs fit takes the fewest GPUs" in llamactl("plan", "8b", "--explain").stdout


def test_a_gpu_of_amd_is_served_by_rocm(llamactl: Run) -> None:
    result = llamactl("plan", "8b", "--gpu", "MI300X", "-o", "yaml")
    assert yaml.safe_load(result.stdout)["spec"]["engine"] == {"device": "rocm"}
    wrong = llamactl("plan", "8b", "--gpu", "MI300X", "--device", "cuda")
    assert (wrong.exit_code, "--device: cuda is not what" in wrong.stderr) == (2, True)
