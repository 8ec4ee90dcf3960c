"""config.json of Hugging Face, as it is and as it should not be."""

from __future__ import annotations

from typing import Any

import pytest

from llama_operator.api.errors import PlanRefused
from llama_operator.catalog import catalog
from llama_operator.catalog.reading import shape_from_config, shape_from_status
from llama_operator.catalog.shape import kv_bytes_per_token

SMOLLM2: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 30,
    "hidden_size": 576,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


def test_a_plain_config_is_read() -> None:
    shape = shape_from_config(SMOLLM2)
    assert (shape.num_layers, shape.head_dim, shape.tied_embeddings) == (30, 64, True)
    assert shape.quantization == "" and not shape.quantized
    assert kv_bytes_per_token(shape, 1, 30) == 23040


def test_it_goes_through_a_status_and_back() -> None:
    shape = shape_from_config(SMOLLM2)
    status = shape.to_status()
    assert status["numKVHeads"] == 3 and len(status) == 12
    assert shape_from_status(status) == shape


def test_left_out_keys_follow_from_the_others() -> None:
    config = {key: value for key, value in SMOLLM2.items() if key != "num_key_value_heads"}
    assert shape_from_config(config).num_kv_heads == 9


@pytest.mark.parametrize(
    ("found", "method", "group"),
    [
        ({"quant_method": "fp8"}, "fp8", 0),
        ({"quant_method": "awq", "group_size": 128}, "awq", 128),
        ({"quant_method": "gptq", "group_size": -1}, "gptq", 0),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"group_size": 32}}},
            },
            "compressed-tensors",
            32,
        ),
    ],
)
def test_quantisation_is_read(found: dict[str, Any], method: str, group: int) -> None:
    shape = shape_from_config({**SMOLLM2, "quantization_config": found})
    assert (shape.quantization, shape.quant_group_size) == (method, group)


def test_llama_4_nests_its_text_model() -> None:
    text = {
        "num_hidden_layers": 48,
        "hidden_size": 5120,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 8192,
        "intermediate_size_mlp": 16384,
        "vocab_size": 202048,
        "max_position_embeddings": 1048576,
        "num_local_experts": 128,
        "interleave_moe_layer_step": 2,
    }
    config = {
        "architectures": ["Llama4ForConditionalGeneration"],
        "text_config": text,
        "torch_dtype": "bfloat16",
    }
    ours = catalog.load().resolve("llama-4-maverick-instruct").shape
    assert shape_from_config(config) == ours


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"architectures": None}, "architectures", "missing"),
        ({"architectures": ["Qwen2ForCausalLM"]}, "architectures", "not a Llama"),
        ({"architectures": ["MllamaForConditionalGeneration"]}, "architectures", "0.10.2"),
        ({"num_hidden_layers": None}, "num_hidden_layers", "is missing"),
        ({"num_hidden_layers": 0}, "num_hidden_layers", "0 is not a whole number"),
        ({"num_hidden_layers": -3}, "num_hidden_layers", "-3"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers", "1000000000"),
        ({"hidden_size": "576"}, "hidden_size", "'576'"),
        ({"vocab_size": True}, "vocab_size", "True"),
        ({"vocab_size": 1e5}, "vocab_size", "100000.0"),
        ({"max_position_embeddings": None}, "max_position_embeddings", "is missing"),
        ({"num_attention_heads": 10}, "hidden_size", "not divisible"),
        ({"num_key_value_heads": 2}, "num_key_value_heads", "not divisible by 2"),
        ({"head_dim": 128}, "head_dim", "9 heads x 128 is 1152, but the hidden size is 576"),
        ({"torch_dtype": "int3"}, "torch_dtype", "'int3'"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings", "'yes'"),
        ({"quantization_config": "awq"}, "quantization_config", "not an object"),
        ({"text_config": [1]}, "text_config", "not an object"),
    ],
)
def test_a_config_that_lies_is_refused(change: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(PlanRefused) as caught:
        shape_from_config({**SMOLLM2, **change})
    assert caught.value.reason == "ModelNotServable"
    assert caught.value.field == f"config.json: {field}"
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": ["Mllama\x1b[31m" + "x" * 10_000]},
        {"architectures": ["\x1b]0;title\x07"]},
        {"torch_dtype": "\x1b[2J" * 1000},
        {"num_hidden_layers": ["\x1b[2J"] * 1000},
        {"tie_word_embeddings": {"\n": "\n" * 1000}},
    ],
)
def test_a_refusal_repeats_no_control_characters(change: dict[str, Any]) -> None:
    with pytest.raises(PlanRefused) as caught:
        shape_from_config({**SMOLLM2, **change})
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


@pytest.mark.parametrize("method", ["\x1b[31m", ["fp8"], "x" * 65, {"a": 1}])
def test_a_method_that_is_none_is_not_repeated(method: Any) -> None:
    found = shape_from_config({**SMOLLM2, "quantization_config": {"quant_method": method}})
    assert found.quantization == "unknown"


@pytest.mark.parametrize("config", [None, [], "x", 3, {}])
def test_what_is_no_config_is_refused(config: Any) -> None:
    with pytest.raises(PlanRefused, match=r"config\.json"):
        shape_from_config(config)


def test_a_status_that_lies_is_refused() -> None:
    status = {**shape_from_config(SMOLLM2).to_status(), "numLayers": 0}
    with pytest.raises(PlanRefused, match=r"status\.shape: numLayers: 0"):
        shape_from_status(status)
