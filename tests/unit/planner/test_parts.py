"""GPUs by name, versions, layouts, candidates and the arithmetic in words."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from tests.unit.planner.ask import ask, smollm2_on_cpu

from llama_operator.api.errors import LlamaError, PlanRefused
from llama_operator.planner import gpus, versions
from llama_operator.planner.candidates import decide
from llama_operator.planner.explain import explain
from llama_operator.planner.layout import stage_layers
from llama_operator.planner.plan import plan
from llama_operator.planner.weights import allocator_padding

MIB = 1 << 20


@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-80GB-HBM3"),
        ("H100", "NVIDIA-H100-80GB-HBM3"),
        ("H100-80GB", "NVIDIA-H100-80GB-HBM3"),
        ("rtx 4090", "NVIDIA-GeForce-RTX-4090"),
        ("a100-40gb", "NVIDIA-A100-SXM4-40GB"),
        ("mi300x", "AMD-Instinct-MI300X-OAM"),
        ("NVIDIA-L40S-SHARED", "NVIDIA-L40S"),
    ],
)
def test_gpus_are_found_by_label_and_by_short_name(name: str, product: str) -> None:
    assert gpus.find(name).product == product


def test_every_name_is_unique() -> None:
    short = [name for gpu in gpus.table().values() for name in gpu.short]
    assert len(short) == len(set(short))


def test_the_table_is_below_the_label_and_near_it() -> None:
    for gpu in gpus.table().values():
        assert 0.94 <= gpu.memory_bytes / (gpu.label_mib * MIB) < 1, gpu.product


def test_an_unknown_gpu_offers_the_nearest() -> None:
    with pytest.raises(PlanRefused) as caught:
        gpus.find("H10O")
    assert caught.value.reason == "GPUUnknown" and caught.value.choices
    assert "spec.gpu.product: 'H10O' is not a known GPU. Did you mean" in str(caught.value)


def test_an_unknown_gpu_with_its_memory_is_planned_with_less() -> None:
    found = gpus.find("NVIDIA-X9000", 96 << 30)
    assert 0.9 * (96 << 30) < found.memory_bytes < 96 << 30


@pytest.mark.parametrize("memory", [0, -1, 1 << 60])
def test_memory_that_no_gpu_has_is_refused(memory: int) -> None:
    with pytest.raises(PlanRefused, match=r"spec\.gpu\.memory"):
        gpus.find("h100", memory)


def test_a_label_wins_only_where_it_tells_of_another_card() -> None:
    table = gpus.find("h100").memory_bytes
    assert gpus.find("h100", 81_559 * MIB).memory_bytes == table
    assert gpus.find("h100", table).memory_bytes == table
    assert gpus.find("h100", 40_000 * MIB).memory_bytes < 40_000 * MIB


def test_a_slice_of_a_gpu_is_smaller_in_everything() -> None:
    whole, part = gpus.find("h100"), gpus.find("NVIDIA-H100-80GB-HBM3-MIG-3g.40gb")
    assert part.memory_bytes < 40 << 30 and part.link_domain == 1
    assert part.bandwidth < whole.bandwidth and part.capability == whole.capability


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("vllm/vllm-openai:v0.24.0", "0.24.0"),
        ("registry:5000/vllm/vllm-openai:v0.10.2", "0.10.2"),
        ("vllm/vllm-openai:v0.24.0-cu130", "0.24.0"),
        ("vllm/vllm-openai:v0.24.0@sha256:abc", "0.24.0"),
        ("rocm/vllm:rocm6.4-vllm_0.9.1-x", "0.9.1"),
        ("vllm/vllm-openai:latest", ""),
        ("vllm/vllm-openai", ""),
        ("registry:5000/vllm", ""),
        ("", ""),
    ],
)
def test_a_version_is_read_from_the_tag(image: str, version: str) -> None:
    assert versions.version_of_image(image) == version


def test_defaults_agree_with_each_other() -> None:
    assert versions.DEFAULT_IMAGE == "vllm/vllm-openai:v0.24.0"
    for device in ("cuda", "rocm", "cpu"):
        assert versions.default_version(device) == versions.DEFAULT_VLLM_VERSION
    with pytest.raises(LlamaError, match=r"spec\.engine\.device: 'tpu'"):
        versions.default_image("tpu")


@pytest.mark.parametrize(
    ("version", "runner"),
    [
        ("0.6.3", "V0"), ("0.8.0", "V1"), ("v0.11.2", "V1"), ("0.23.1", "V1"), ("0.24.0", "V2"),
        ("0.24.1rc2", "V2"), ("1.0.0", "V2"),
    ],
)  # fmt: skip
def test_engines(version: str, runner: str) -> None:
    assert versions.engine_of(version).runner == runner


@pytest.mark.parametrize("version", ["", "latest", "0", "0.1.0", "0.24.0; rm"])
def test_versions_that_are_none(version: str) -> None:
    with pytest.raises(LlamaError, match=r"spec\.engine\.version"):
        versions.engine_of(version)


@pytest.mark.parametrize(
    ("layers", "stages", "split"),
    [
        (126, 2, [63, 63]), (15, 2, [8, 7]), (32, 3, [11, 11, 10]), (80, 3, [27, 27, 26]),
        (33, 4, [8, 8, 9, 8]), (5, 5, [1, 1, 1, 1, 1]), (7, 1, [7]),
    ],
)  # fmt: skip
def test_layers_of_stages(layers: int, stages: int, split: list[int]) -> None:
    assert stage_layers(layers, stages) == split


@pytest.mark.parametrize(
    ("size", "padding"),
    [(75 * MIB, MIB), (625 * MIB // 4, 7 * MIB // 4), (10 * MIB, 0), (9 * MIB, 0), (11 * MIB, MIB)],
)
def test_the_allocator_pads_large_tensors(size: int, padding: int) -> None:
    assert allocator_padding(size) == padding


def test_a_decision_lists_all_and_takes_one() -> None:
    found = decide(ask("70b"))
    assert [each.plan.gpus for each in found.candidates] == [1, 2, 4, 8]
    assert [each.fits for each in found.candidates] == [False, True, True, True]
    assert found.chosen is not None and found.chosen.plan == plan(ask("70b"))
    assert found.chosen in found.candidates and found.refusal is None
    assert "leave no room" in found.candidates[0].reason


def test_left_over_gpus_make_replicas() -> None:
    found = decide(ask("70b", gpu_count=8)).candidates
    assert {each.plan.gpus: each.replicas for each in found} == {1: 1, 2: 4, 4: 2, 8: 1}
    assert {each.plan.gpus: each.fits for each in found} == {1: False, 2: True, 4: True, 8: True}


def test_a_decision_without_a_choice_has_the_reason() -> None:
    found = decide(ask("70b", gpu_count=6))
    assert found.chosen is None and found.refusal is not None
    assert found.refusal.reason == "InvalidParallelism"
    assert [each.plan.gpus for each in found.candidates if each.fits] == [2, 4, 8]


def test_a_pinned_layout_is_the_only_candidate() -> None:
    pins: dict[str, Any] = {
        "max_num_seqs": 1024, "max_num_batched_tokens": 8192, "gpu_memory_utilization": 0.92
    }  # fmt: skip
    found = decide(ask("70b", gpu_count=2, tensor_parallel=2, max_model_len=131_072, **pins))
    assert found.chosen is None
    (only,) = found.candidates
    assert (only.plan.gpus, only.fits, only.plan.kv_tokens) == (2, False, 35_440)
    assert "131,072 tokens need 20.0 GiB of KV cache a GPU" in only.reason


def test_a_context_beyond_the_model_is_judged_with_its_cache() -> None:
    """vLLM, forced to it, said of this very run that 462,880 tokens would fit."""
    found = decide(ask("8b", gpu_count=1, tensor_parallel=1, max_model_len=600_000))
    assert found.chosen is None and found.refusal is not None
    (only,) = found.candidates
    assert (only.fits, only.plan.kv_tokens, only.plan.max_model_len) == (False, 462_944, 600_000)
    assert only.reason == found.refusal.message
    assert not any(each.fits for each in decide(ask("8b", max_model_len=600_000)).candidates)


def test_what_cannot_be_judged_has_no_candidates() -> None:
    for pins in ({"tensor_parallel": 6}, {"objective": "cheap"}, {"max_num_seqs": 0}):
        found = decide(ask("8b", **pins))
        assert (found.chosen, found.candidates) == (None, ()) and found.refusal


def test_the_arithmetic_can_be_redone() -> None:
    text = explain(ask("70b"))
    assert "85,017,493,504 B" in text and "78,216,094,024 B" in text
    assert "/ (16 x 163,840 B)" in text and "= 35,440 tokens" in text
    assert "must not be negative" in text
    assert "context lowered" in text


def test_the_arithmetic_of_a_cpu() -> None:
    assert "--kv-cache-memory-bytes" in explain(smollm2_on_cpu())


def test_importing_the_planner_loads_nothing_heavy() -> None:
    code = (
        "import sys; import llama_operator.planner.plan, llama_operator.planner.explain;"
        "from llama_operator.catalog import catalog; catalog.load();"
        "print([m for m in ('pydantic','kubernetes','yaml','asyncio','socket','difflib','click')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
