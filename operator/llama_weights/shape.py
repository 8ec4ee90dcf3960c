"""The shape of a model, read from its config.json: what the planner needs to size a server.

The file is a stranger's. Numbers are bounded here, because what leaves this process is written
into the status of an object that others believe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llama_weights.errors import FormatError

ARCHITECTURES = (
    "LlamaForCausalLM",
    "Llama4ForCausalLM",
    "Llama4ForConditionalGeneration",
)
_LARGEST = 1 << 40
_NUMBERS = {
    "numLayers": "num_hidden_layers",
    "hiddenSize": "hidden_size",
    "numAttentionHeads": "num_attention_heads",
    "intermediateSize": "intermediate_size",
    "vocabSize": "vocab_size",
}


def parse_config(data: bytes) -> dict[str, Any]:
    """config.json as an object. Raises FormatError (CorruptCheckpoint) saying what it is."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        start = data[:40].decode(errors="replace")
        raise _corrupt(f"is not JSON, it begins with {start!r}") from None
    if not isinstance(found, dict):
        raise _corrupt(f"is a JSON {type(found).__name__}, not an object")
    return found


def shape_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """`status.shape` for a config. Raises FormatError for what is no Llama, naming what it is."""
    architecture = _architecture(config)
    text = config.get("text_config")
    text = text if isinstance(text, dict) else config
    shape: dict[str, Any] = {name: _number(text, key) for name, key in _NUMBERS.items()}
    heads, hidden = shape["numAttentionHeads"], shape["hiddenSize"]
    return {
        "architecture": architecture,
        **shape,
        "numKVHeads": _number(text, "num_key_value_heads", heads),
        "headDim": _head_dim(text, hidden, heads),
        "maxPosition": _number(text, "max_position_embeddings", 2048),
        "tiedEmbeddings": _tied(config, text),
        "dtype": _dtype(config, text),
        "quantization": _quantization(config),
    }


def _architecture(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else config.get("model_type", "nothing")
    if name in ARCHITECTURES:
        return str(name)
    hint = "vLLM removed Llama 3.2 Vision after 0.10.2. " if str(name).startswith("Mllama") else ""
    raise FormatError(
        "FormatUnsupported",
        f"architectures names {str(name)[:80]!r}, which is not a Llama that vLLM serves",
        field="config.json",
        fix=f"{hint}Served are {', '.join(ARCHITECTURES)}",
    )


def _number(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None and default is not None:
        return default
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST
    if not sound:
        raise _corrupt(f"{key} is {str(value)[:40]!r}, not a whole number above 0")
    return int(str(value))


def _head_dim(config: Mapping[str, Any], hidden: int, heads: int) -> int:
    if config.get("head_dim") is None and hidden % heads:
        raise _corrupt(f"hidden_size {hidden} is not divisible by num_attention_heads {heads}")
    return _number(config, "head_dim", hidden // heads)


def _tied(config: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    return text.get("tie_word_embeddings", config.get("tie_word_embeddings", False)) is True


def _dtype(config: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    keys = ("torch_dtype", "dtype")
    found = next((each[key] for each in (text, config) for key in keys if each.get(key)), "")
    return _word(str(found).removeprefix("torch.")) or "bfloat16"


def _quantization(config: Mapping[str, Any]) -> str:
    found = config.get("quantization_config")
    if not isinstance(found, dict):
        return ""
    return _word(str(found.get("quant_method", ""))) or "unknown"


def _word(text: str) -> str:
    allowed = "".join(char for char in text if char.isascii() and (char.isalnum() or char in "_-."))
    return allowed[:64]


def _corrupt(message: str) -> FormatError:
    return FormatError(
        "CorruptCheckpoint",
        message,
        field="config.json",
        fix="Choose another revision, or tell the publisher",
    )
