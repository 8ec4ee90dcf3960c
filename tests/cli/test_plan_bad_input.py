"""plan with what cannot be: a sentence that names the field and the fix, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.checkpoints import CONFIG
from tests.cli.conftest import Run


def says(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.stdout + result.stderr
    for word in words:
        assert word in result.stderr
    assert "Traceback" not in result.stderr
    assert "does not handle" not in result.stderr
    assert "spec." not in result.stderr


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("H1000", "NVIDIA-H100-80GB-HBM3"), ("RTX-4091", "RTX-4090"), ("L40X", "NVIDIA-L40S")],
)
def test_an_unknown_gpu_offers_the_nearest(llamactl: Run, name: str, nearest: str) -> None:
    says(llamactl("plan", "8b", "--gpu", name), 2, f"--gpu: '{name}'", nearest, "--gpu-memory")


def test_an_impossible_tensor_parallel_size(llamactl: Run) -> None:
    result = llamactl("plan", "70b", "--gpu", "H100", "--tensor-parallel", 6)
    says(result, 1, "--tensor-parallel: 64 attention heads are not divisible by 6", "Valid: 1, 2")


def test_llama_4_on_16_ranks(llamactl: Run) -> None:
    args = ("--gpu", "H100", "--tensor-parallel", 16, "--gpus-per-node", 16)
    result = llamactl("plan", "llama-4-scout-instruct", *args)
    says(result, 1, "--tensor-parallel: 40 attention heads are not divisible by 16", "Valid: 1, 2")


NUMBERS = (
    "--gpus", "--nodes", "--gpus-per-node", "--max-model-len", "--concurrency",
    "--tensor-parallel", "--pipeline-parallel", "--max-num-seqs", "--max-num-batched-tokens",
)  # fmt: skip


@pytest.mark.parametrize("option", [*NUMBERS, "--gpu-memory-utilization"])
@pytest.mark.parametrize("value", ["0", "-1", "x", ""])
def test_zero_negative_and_no_numbers(llamactl: Run, option: str, value: str) -> None:
    says(llamactl("plan", "8b", "--gpu", "H100", f"{option}={value}"), 2, option)


@pytest.mark.parametrize("option", NUMBERS)
@pytest.mark.parametrize("value", [10**7, 10**30])
def test_huge_numbers(llamactl: Run, option: str, value: int) -> None:
    result = llamactl("plan", "8b", "--gpu", "H100", option, value)
    assert result.exit_code in (1, 2)
    says(result, result.exit_code, option)


@pytest.mark.parametrize("value", ["1.0", "nan", "inf", "0.05"])
def test_a_share_of_the_card_that_cannot_be(llamactl: Run, value: str) -> None:
    result = llamactl("plan", "8b", "--gpu", "H100", f"--gpu-memory-utilization={value}")
    assert result.exit_code in (1, 2)
    says(result, result.exit_code, "--gpu-memory-utilization")


@pytest.mark.parametrize("value", ["x", "0", "-80Gi", "1e99Gi", "nan", "9" * 50])
def test_memory_that_no_gpu_has(llamactl: Run, value: str) -> None:
    says(llamactl("plan", "8b", f"--gpu-memory={value}"), 2, "--gpu-memory")


def test_a_context_beyond_the_model(llamactl: Run) -> None:
    result = llamactl("plan", "llama-3-8b", "--gpu", "H100", "--max-model-len", 16384)
    says(result, 1, "--max-model-len: 16,384 tokens are beyond the model's 8,192", "At most 8192")


@pytest.mark.parametrize(
    ("gpu", "args", "words"),
    [
        ("T4", ["--quantization", "fp8"], "cannot run fp8, which needs 8"),
        ("V100", ["--vllm-version", "0.11.0", "--quantization", "fp8"], "cannot run fp8"),
        ("T4", ["--kv-cache-dtype", "fp8"], "has no FP8 KV cache"),
        ("T4", ["--dtype", "bfloat16"], "has no bfloat16"),
    ],
)
def test_a_format_that_the_gpu_lacks(llamactl: Run, gpu: str, args: list[str], words: str) -> None:
    says(llamactl("plan", "8b", "--gpu", gpu, *args), 1, words, args[-2], "Use ")


def test_a_format_that_the_checkpoint_is_not(llamactl: Run) -> None:
    result = llamactl("plan", "8b", "--gpu", "H100", "--quantization", "gptq")
    says(result, 1, "--quantization: the checkpoint is not gptq", "Use fp8 or none")


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"num_hidden_layers": None}, "num_hidden_layers", "is missing"),
        ({"hidden_size": None}, "hidden_size", "is missing"),
        ({"vocab_size": None}, "vocab_size", "is missing"),
        ({"max_position_embeddings": None}, "max_position_embeddings", "is missing"),
        ({"architectures": None}, "architectures", "is missing or empty"),
        ({"head_dim": 128}, "head_dim", "9 heads x 128 is 1152, but the hidden size is 576"),
        ({"num_attention_heads": 7}, "hidden_size", "576 is not divisible by"),
        ({"num_key_value_heads": 4}, "num_key_value_heads", "not divisible by 4 KV heads"),
        ({"vocab_size": -1}, "vocab_size", "is not a whole number"),
        ({"num_hidden_layers": 1e9}, "num_hidden_layers", "is not a whole number"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers", "is not a whole number"),
        ({"torch_dtype": "int4"}, "torch_dtype", "'int4' is not one of"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings", "is not true or false"),
        ({"quantization_config": [1]}, "quantization_config", "is not an object"),
        (
            {"architectures": ["MllamaForConditionalGeneration"]},
            "architectures",
            "vLLM removed Llama 3.2 Vision",
        ),
        ({"architectures": ["GPT2LMHeadModel"]}, "architectures", "not a Llama that vLLM serves"),
    ],
)
def test_a_config_that_lacks_fields_or_lies(
    llamactl: Run, tmp_path: Path, change: dict[str, Any], field: str, words: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**CONFIG, **change}))
    says(llamactl("plan", path, "--gpu", "L4"), 1, f"config.json: {field}: ", words)


@pytest.mark.parametrize(
    ("text", "code"),
    [("", 2), ("<html>", 2), ("[" * 100_000, 2), ("null", 1), ("[]", 1), ('"x"', 1), ("{}", 1)],
)
def test_a_config_that_is_none(llamactl: Run, tmp_path: Path, text: str, code: int) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    says(llamactl("plan", path, "--gpu", "L4"), code, "config.json")


def test_a_directory_without_a_config(llamactl: Run, tmp_path: Path) -> None:
    says(llamactl("plan", tmp_path), 2, "config.json: No such file")


def test_a_revision_of_a_file(llamactl: Run, tmp_path: Path) -> None:
    says(llamactl("plan", tmp_path, "--revision", "main"), 2, "--revision")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("llama-3.2-11b-vision-instruct", "vLLM removed Llama 3.2 Vision (Mllama) after 0.10.2"),
        ("llama-3.2-1b-instruct-spinquant_int4_eo8", "a checkpoint for phones"),
        ("llama-2-34b", "Meta never released it"),
    ],
)
def test_models_that_are_known_and_not_served(llamactl: Run, model: str, words: str) -> None:
    result = llamactl("plan", model, "-o", "json")
    says(result, 1, "MODEL: ", words, "use llama" if "34b" not in model else "nearest are")
    assert json.loads(result.stdout)["chosen"] is None


def test_a_model_that_nobody_knows(llamactl: Run) -> None:
    says(llamactl("plan", "lama-3.1-8b-instrukt"), 2, "MODEL: no model", "Did you mean")


def _pin(option: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[str]]:
    return st.one_of(st.just([]), values.map(lambda value: [option, str(value)]))


ODD = st.tuples(
    st.sampled_from(["8b", "70b", "405b", "llama-4-scout-instruct", "llama-3.1-405b-fp8"]),
    st.sampled_from(["H100", "T4", "L4", "MI300X", "B200"]),
    st.sampled_from(["table", "json", "yaml"]),
    _pin("--gpus", st.integers(1, 70)),
    _pin("--tensor-parallel", st.integers(1, 40)),
    _pin("--pipeline-parallel", st.integers(1, 200)),
    _pin("--nodes", st.integers(1, 9)),
    _pin("--gpus-per-node", st.integers(1, 20)),
    _pin("--max-model-len", st.integers(1, 10**6)),
    _pin("--max-num-seqs", st.integers(1, 70_000)),
    _pin("--max-num-batched-tokens", st.integers(1, 10**6)),
    _pin("--concurrency", st.integers(1, 70_000)),
    _pin("--quantization", st.sampled_from(["none", "fp8", "awq"])),
    _pin("--kv-cache-dtype", st.sampled_from(["auto", "fp8"])),
    _pin("--objective", st.sampled_from(["fit", "throughput", "latency"])),
    st.sampled_from([[], ["--enforce-eager"], ["--explain"]]),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ODD)
def test_any_mixture_of_pins_is_answered(llamactl: Run, asked: tuple[Any, ...]) -> None:
    model, gpu, form, *pins = asked
    words = [word for pin in pins for word in pin]
    result = llamactl("plan", model, "--gpu", gpu, "-o", form, *words)
    assert result.exit_code in (0, 1), (words, result.stderr)
    assert "does not handle" not in result.stderr
    assert (result.exit_code == 0) == ("Error:" not in result.stderr)
    if form == "json":
        assert (json.loads(result.stdout)["chosen"] is not None) == (result.exit_code == 0)
