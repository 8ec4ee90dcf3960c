"""What is fetched of a listing, and what is read out of a config.json."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_weights.errors import FormatError, VerifyError
from llama_weights.files import RemoteFile, unsafe
from llama_weights.select import select
from llama_weights.shape import parse_config, shape_of

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 14336,
    "vocab_size": 128256,
}


def selected(*names: str) -> list[str]:
    files = [RemoteFile(name, 1, "git-sha1", "0" * 40) for name in ("config.json", *names)]
    return [file.path for file in select(files)]


def test_everything_that_vllm_reads_and_nothing_else() -> None:
    wanted = [
        "chat_template.jinja",
        "generation_config.json",
        "model-00001-of-00001.safetensors",
        "model.safetensors.index.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
    ]
    unwanted = [
        "original/consolidated.00.pth",
        "original/model.safetensors",
        "original/params.json",
        "pytorch_model.bin",
        "model.onnx",
        "model.Q4.gguf",
        "figure.png",
        "README.md",
        "modeling_llama.py",
    ]
    assert selected(*wanted, *unwanted) == sorted(["config.json", *wanted])


@pytest.mark.parametrize("other", ["consolidated.safetensors", "model.safetensors"])
def test_the_same_weights_are_not_fetched_twice(other: str) -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert selected(*shards, other) == ["config.json", *shards]


def test_a_missing_shard_is_named() -> None:
    with pytest.raises(VerifyError, match=r"model-00002-of-00003\.safetensors") as caught:
        selected("model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors")
    assert caught.value.reason == "FilesMissing"


@given(st.text(max_size=40))
def test_a_safe_name_never_leaves_its_directory(name: str) -> None:
    if not unsafe(name):
        parts = name.split("/")
        assert not name.startswith(("/", "~"))
        assert not {"", ".", ".."} & set(parts)
        assert name.isprintable()


def test_what_a_config_leaves_out_follows_from_the_rest() -> None:
    shape = shape_of(LLAMA)
    assert (shape["numKVHeads"], shape["headDim"], shape["dtype"]) == (32, 128, "bfloat16")
    assert (shape["quantization"], shape["tiedEmbeddings"]) == ("", False)


def test_what_a_config_says_is_taken() -> None:
    said = {
        "num_key_value_heads": 8,
        "head_dim": 64,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "quantization_config": {"quant_method": "fbgemm_fp8"},
    }
    shape = shape_of({**LLAMA, **said})
    assert (shape["numKVHeads"], shape["headDim"], shape["maxPosition"]) == (8, 64, 131072)
    assert (shape["dtype"], shape["tiedEmbeddings"]) == ("float16", True)
    assert shape["quantization"] == "fbgemm_fp8"


def test_heads_that_do_not_divide_the_hidden_size() -> None:
    with pytest.raises(FormatError, match="4096 is not divisible by num_attention_heads 33"):
        shape_of({**LLAMA, "num_attention_heads": 33})


def test_the_text_part_of_a_multimodal_llama() -> None:
    config = {
        "architectures": ["Llama4ForConditionalGeneration"],
        "text_config": {key: value for key, value in LLAMA.items() if key != "architectures"},
    }
    assert shape_of(config)["hiddenSize"] == 4096


@pytest.mark.parametrize("architecture", ["Qwen2ForCausalLM", "MllamaForConditionalGeneration"])
def test_another_architecture_is_named(architecture: str) -> None:
    with pytest.raises(FormatError, match=architecture) as caught:
        shape_of({**LLAMA, "architectures": [architecture]})
    assert caught.value.reason == "FormatUnsupported"


@pytest.mark.parametrize("value", [0, -1, "32", 3.5, True, None, 1 << 60])
def test_a_number_that_is_none(value: object) -> None:
    with pytest.raises(FormatError, match="num_attention_heads"):
        shape_of({**LLAMA, "num_attention_heads": value})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from([*LLAMA, "text_config"]), inner)
        ),
    )
)
def test_any_json_is_read_or_refused(data: Any) -> None:
    try:
        shape = shape_of(parse_config(json.dumps(data).encode()))
    except FormatError as error:
        assert error.reason in ("FormatUnsupported", "CorruptCheckpoint")
    else:
        assert shape["headDim"] > 0
