"""What a config.json tells of a quantised checkpoint, and the bytes that follow from it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from llama_operator.catalog import catalog
from llama_operator.catalog.linears import kinds, linear_numbers
from llama_operator.catalog.reading import shape_from_config, shape_from_status
from llama_operator.planner import gpus
from llama_operator.planner.checkpoint import checkpoint_bytes, known_bytes
from llama_operator.planner.plan import Request, plan

CATALOG = catalog.load()
GPU = gpus.find("mi300x")
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
WIDTHS = ("gate_proj", "up_proj", "down_proj")


def config_of(model: str, **quantization: Any) -> dict[str, Any]:
    """The config.json of a catalogue model, with a quantization_config where one is given."""
    shape = CATALOG.resolve(model).shape
    text: dict[str, Any] = {
        "num_hidden_layers": shape.num_layers,
        "hidden_size": shape.hidden_size,
        "num_attention_heads": shape.num_attention_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.intermediate_size,
        "vocab_size": shape.vocab_size,
        "max_position_embeddings": shape.max_position,
        "tie_word_embeddings": shape.tied_embeddings,
    }
    if shape.num_experts:
        step = shape.num_layers // shape.moe_layers
        text |= {"num_local_experts": shape.num_experts, "interleave_moe_layer_step": step}
        text["intermediate_size_mlp"] = shape.dense_intermediate_size
    found: dict[str, Any] = {"architectures": [shape.architecture], "torch_dtype": shape.dtype}
    found |= {"text_config": text} if shape.num_experts else text
    return found | ({"quantization_config": quantization} if quantization else {})


def bytes_of(model: str, **quantization: Any) -> int:
    return checkpoint_bytes(shape_from_config(config_of(model, **quantization)))


@pytest.mark.parametrize("model", ["8b", "1b", "scout", "maverick", "llama-2-13b"])
def test_a_config_alone_gives_the_bytes_of_16_bits(model: str) -> None:
    assert bytes_of(model) == CATALOG.resolve(model).weights_bytes


def test_metas_fp8_keeps_attention_and_two_layers() -> None:
    """To the byte what Meta's shards hold: the feed-forward of layers 1 to 124 in 8 bits."""
    kept = [f"model.layers.{n}.self_attn.{name}" for n in range(126) for name in PROJECTIONS]
    kept += [f"model.layers.{n}.mlp.{name}" for n in (0, 125) for name in WIDTHS]
    found = bytes_of(
        "405b", quant_method="fbgemm_fp8", activation_scale_ub=1200.0, modules_to_not_convert=kept
    )
    assert found == CATALOG.resolve("llama-3.1-405b-instruct-fp8").weights_bytes


def test_llama_4_with_experts_in_8_bits() -> None:
    """What Meta's Maverick shards add up to: the experts of 23 of 24 layers in 8 bits."""
    groups = {"group_0": {"weights": {"num_bits": 8, "strategy": "channel"}}}
    kept = ["language_model.lm_head", "re:.*self_attn", "re:.*shared_expert", "re:vision_model.*"]
    block = "language_model.model.layers.{}.feed_forward.{}"
    kept += [block.format(n, name) for n in range(0, 48, 2) for name in WIDTHS]
    kept += [block.format(1, "experts")]
    found = bytes_of(
        "maverick", quant_method="compressed-tensors", config_groups=groups, ignore=kept
    )
    assert found == CATALOG.resolve("llama-4-maverick-instruct-fp8").weights_bytes


@pytest.mark.parametrize(
    ("quantization", "gigabytes"),
    [
        ({"quant_method": "fp8"}, 72.66),
        # Published: 39.8 GB for GPTQ and AWQ of Llama 3.3 70B with groups of 128.
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, 39.8),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 39.8),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 128}, 39.8),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 72.66),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, 72.66),
        ({"quant_method": "somebodys"}, 141.1),
        ({"quant_method": "gptq", "bits": "many", "group_size": 1 << 40}, 39.8),
    ],
)
def test_bits_and_groups(quantization: dict[str, Any], gigabytes: float) -> None:
    assert bytes_of("70b", **quantization) / 1e9 == pytest.approx(gigabytes, rel=0.01)


@pytest.mark.parametrize(
    ("kept", "share"),
    [
        ([], 0),
        (["lm_head", "model.embed_tokens", "model.layers", "re:model\\.layers\\.(0|1)\\..*"], 0),
        (["re:.*self_attn.*"], 4),
        (["self_attn"], 4),
        (["model.layers.0.self_attn", "model.layers.1.self_attn", "model.layers.99.self_attn"], 2),
        (["model.layers.0.mlp.up_proj", 7, None, "model.layers.0.mlp.up_proj"], 1),
        ("self_attn", 0),
    ],
)
def test_what_a_list_keeps(kept: Any, share: int) -> None:
    """Four alike layers whose attention and whose up projection have 64 x 64 numbers each."""
    config = {
        "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 4, "hidden_size": 32,
        "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100,
        "max_position_embeddings": 64,
        "quantization_config": {"quant_method": "fp8", "modules_to_not_convert": kept},
    }  # fmt: skip
    shape = shape_from_config(config)
    assert shape.kept_numbers == share * 4096
    assert linear_numbers(shape) == 4 * (4096 + 3 * 4096)


def test_a_list_of_a_stranger_takes_no_time() -> None:
    kept = ["re:(a+)+$" + "a" * 40, *("re:.*" + "x" * 30 + str(n) for n in range(100_000))]
    start = time.monotonic()
    shape_from_config(config_of("405b", quant_method="fp8", ignore=kept))
    assert time.monotonic() - start < 2


def test_layers_with_experts_are_the_last_of_each_pair() -> None:
    sparse, dense = kinds(CATALOG.resolve("maverick").shape)
    assert list(sparse.layers)[:3] == [1, 3, 5] and list(dense.layers)[:3] == [0, 2, 4]
    assert len(sparse.layers) == len(dense.layers) == 24


@pytest.mark.parametrize("model", ["scout", "maverick", "llama-guard-4-12b"])
def test_the_status_of_a_copy_weighs_what_its_files_do(model: str) -> None:
    """status.shape tells no experts and no image encoder: their bytes count all the same."""
    entry = CATALOG.resolve(model)
    told = shape_from_status(entry.shape.to_status())
    pins: dict[str, Any] = {"tensor_parallel": 8, "max_model_len": 8192, "max_num_seqs": 64}
    weights = [
        plan(Request(shape=shape, weights_bytes=entry.weights_bytes, gpu=GPU, **pins))
        .per_gpu.weights_bytes
        for shape in (entry.shape, told)
    ]  # fmt: skip
    assert weights[0] == pytest.approx(weights[1], rel=0.001)
    assert 8 * weights[0] > entry.weights_bytes


def test_counted_bytes_win() -> None:
    shape = CATALOG.resolve("8b").shape
    assert known_bytes(shape, 7) == 7 and known_bytes(shape, 0) == 16_060_522_496
