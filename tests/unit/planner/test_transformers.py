"""Plans for transformers: what fits one request at a time, and what has no meaning there."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.unit.planner.ask import ask, smollm2_on_cpu

from llama_operator.api.errors import PlanRefused
from llama_operator.planner import gpus
from llama_operator.planner.explain import explain
from llama_operator.planner.plan import plan


def by(model: str = "llama-3.1-8b-instruct", gpu: str | None = "h100", **pins: Any) -> Any:
    return ask(model, gpu, engine="transformers", **pins)


def test_one_gpu_that_holds_the_whole_context() -> None:
    found = plan(by())
    assert (found.gpus, found.tensor_parallel, found.max_num_seqs) == (1, 1, 1)
    assert (found.max_model_len, found.kv_tokens) == (131_072, 131_072)
    assert found.dtype == "bfloat16"
    each = found.per_gpu
    assert sum(each) == gpus.find("h100").memory_bytes
    # 8 billion numbers of two bytes; 32 layers x 2 x 8 heads x 128 numbers a token.
    assert 16.0e9 < each.weights_bytes < 16.5e9
    assert each.kv_cache_bytes == 131_072 * 131_072


def test_a_context_is_lowered_to_what_fits_and_said() -> None:
    found = plan(by(gpu="l4"))
    assert 2048 <= found.max_model_len < 131_072
    assert f"context lowered from 131,072 to {found.max_model_len:,} tokens" in found.reason
    longer = by(gpu="l4", max_model_len=found.max_model_len + 16, gpu_count=1)
    with pytest.raises(PlanRefused) as refused:
        plan(longer)
    assert refused.value.reason == "ContextTooLong"
    assert f"at most {found.max_model_len} tokens" in refused.value.fix
    assert plan(by(gpu="l4", max_model_len=found.max_model_len, gpu_count=1)).gpus == 1


def test_layers_are_spread_over_the_fewest_gpus_that_hold_them() -> None:
    found = plan(by("llama-3.3-70b-instruct"))
    assert found.gpus == found.pipeline_parallel == 2
    assert found.tensor_parallel == 1
    assert "whole layers on each" in found.reason
    with pytest.raises(PlanRefused) as refused:
        plan(by("llama-3.3-70b-instruct", gpu_count=1))
    assert refused.value.reason == "InsufficientGPUMemory"
    assert "more GPUs" in refused.value.fix


def test_what_no_node_holds_is_refused_with_numbers() -> None:
    with pytest.raises(PlanRefused) as refused:
        plan(by("llama-3.1-405b-instruct", gpu="l4"))
    assert refused.value.reason == "InsufficientGPUMemory"
    assert re.search(r"8 GPUs NVIDIA-L4 of [\d.]+ GiB", str(refused.value))
    assert "vllm" in refused.value.fix


@pytest.mark.parametrize(
    ("field", "pins"),
    [
        ("spec.sizing.tensorParallel", {"tensor_parallel": 2}),
        ("spec.sizing.nodes", {"nodes": 2}),
        ("spec.sizing.maxNumSeqs", {"max_num_seqs": 8}),
        ("spec.sizing.maxNumBatchedTokens", {"max_num_batched_tokens": 4096}),
        ("spec.sizing.gpuMemoryUtilization", {"gpu_memory_utilization": 0.9}),
        ("spec.sizing.kvCacheDtype", {"kv_cache_dtype": "fp8"}),
        ("spec.sizing.objective", {"objective": "throughput"}),
        ("spec.engine.enforceEager", {"enforce_eager": True}),
        ("--concurrency", {"concurrency": 4}),
        ("spec.gpu.count", {"gpu_count": 9}),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(field: str, pins: dict[str, Any]) -> None:
    with pytest.raises(PlanRefused) as refused:
        plan(by(**pins))
    assert refused.value.field == field
    assert refused.value.fix


@pytest.mark.parametrize(
    ("model", "pins"),
    [("llama-3.1-405b-instruct-fp8", {}), ("llama-3.1-8b-instruct", {"quantization": "fp8"})],
)
def test_only_sixteen_bits_are_served(model: str, pins: dict[str, Any]) -> None:
    with pytest.raises(PlanRefused) as refused:
        plan(by(model, **pins))
    assert refused.value.reason == "QuantizationUnsupported"


def test_on_a_cpu_there_is_one_process() -> None:
    found = plan(smollm2_on_cpu(engine="transformers"))
    assert (found.gpus, found.max_model_len) == (1, 8192)
    assert found.host.memory_bytes > found.per_gpu.weights_bytes + found.kv_cache_bytes
    with pytest.raises(PlanRefused, match=r"spec\.gpu\.count: 2 ranks"):
        plan(smollm2_on_cpu(engine="transformers", gpu_count=2))


def test_the_arithmetic_is_shown_without_vllm() -> None:
    text = explain(by())
    assert "one request at a time" in text
    assert "vLLM" not in text
