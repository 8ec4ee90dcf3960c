"""Reads a Hugging Face config.json into the fields of a Shape, and checks any such fields.

config.json comes from a hub, so nothing in it is believed: each number is bounded, and numbers
that contradict each other are refused by name before a GPU is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from llama_operator.api.errors import PlanRefused
from llama_operator.catalog.quantised import fields_of
from llama_operator.catalog.shape import DENSE

MULTIMODAL_4: Final = "Llama4ForConditionalGeneration"
SUPPORTED: Final = (DENSE, MULTIMODAL_4, "Llama4ForCausalLM")
_LIMITS: Final = {
    "num_layers": 4096,
    "hidden_size": 1 << 20,
    "num_attention_heads": 1 << 14,
    "num_kv_heads": 1 << 14,
    "head_dim": 1 << 14,
    "intermediate_size": 1 << 22,
    "vocab_size": 1 << 24,
    "max_position": 1 << 30,
}
# What most models do not have; 0 where they have not.
_OPTIONAL: Final = {
    "quant_bits": 16,
    "quant_group_size": 1 << 16,
    "kept_numbers": 1 << 53,
    "num_experts": 1 << 16,
    "moe_layers": 4096,
    "dense_intermediate_size": 1 << 22,
}
_KEYS: Final = {
    "num_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "num_attention_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "intermediate_size": "intermediate_size",
    "vocab_size": "vocab_size",
    "max_position": "max_position_embeddings",
    "dtype": "torch_dtype",
    "architecture": "architectures",
}
DTYPES: Final = ("bfloat16", "float16", "float32")


def shown(value: Any) -> str:
    """A stranger's value as a message may hold it: without control characters, and short."""
    return repr(value)[:80]


def refuse(field: str, message: str, fix: str = "", reason: str = "ModelNotServable") -> NoReturn:
    """Raises the PlanRefused that says why a description of a model is not usable."""
    raise PlanRefused(reason, message, field=field, fix=fix)


def read_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments for Shape. Raises PlanRefused (ModelNotServable) as shape_from_config."""
    if not isinstance(config, Mapping):
        refuse("config.json", f"is {type(config).__name__}, not an object", "Download it again")
    architecture = _architecture(config)
    text = config.get("text_config") or config
    if not isinstance(text, Mapping):
        refuse("config.json: text_config", "is not an object", "Download it again")
    found = {name: text.get(key) for name, key in _KEYS.items() if name in _LIMITS}
    found |= {"architecture": architecture, "dtype": _dtype(config, text)}
    found["tied_embeddings"] = _tied(config, text)
    _fill_defaults(found)
    found |= _quantization(config) | _experts(text)
    return checked(found, "config.json", names=_KEYS)


def _architecture(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else ""
    if not isinstance(name, str) or not name:
        refuse("config.json: architectures", "is missing or empty", "It must name LlamaForCausalLM")
    return name


def check_architecture(name: str, field: str) -> None:
    """Raises PlanRefused (ModelNotServable) for an architecture that cannot be served."""
    if name in SUPPORTED:
        return
    if name.startswith("Mllama"):
        refuse(
            field,
            f"{shown(name)}: vLLM removed Llama 3.2 Vision after 0.10.2",
            "Use llama-4-scout-instruct for images, or a text model",
        )
    refuse(
        field,
        f"{shown(name)} is not a Llama that vLLM serves",
        f"Served are {', '.join(SUPPORTED)}",
    )


def _dtype(config: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    found = next(
        (each[key] for each in (text, config) for key in ("torch_dtype", "dtype") if each.get(key)),
        "bfloat16",
    )
    return str(found).removeprefix("torch.")


def _tied(config: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    value = text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))
    if not isinstance(value, bool):
        refuse(
            "config.json: tie_word_embeddings", f"{shown(value)} is not true or false", "Correct it"
        )
    return value


def _fill_defaults(found: dict[str, Any]) -> None:
    # Hugging Face leaves these out of config.json where they follow from the others.
    if found["num_kv_heads"] is None:
        found["num_kv_heads"] = found["num_attention_heads"]
    hidden, heads = found["hidden_size"], found["num_attention_heads"]
    if found["head_dim"] is None and _positive(hidden) and _positive(heads):
        if hidden % heads:
            refuse(
                "config.json: hidden_size",
                f"{hidden} is not divisible by num_attention_heads {heads}",
                "Add head_dim, or correct one of the two",
            )
        found["head_dim"] = hidden // heads


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _quantization(config: Mapping[str, Any]) -> dict[str, Any]:
    return fields_of(quantization_config(config))


def quantization_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The quantization_config of a config.json; empty where there is none. Raises PlanRefused."""
    found = config.get("quantization_config") or {}
    if not isinstance(found, Mapping):
        refuse("config.json: quantization_config", "is not an object", "Download it again")
    return found


def _experts(text: Mapping[str, Any]) -> dict[str, Any]:
    experts = text.get("num_local_experts") or 0
    if not _positive(experts) or experts <= 1:
        return {}
    layers, step = text.get("num_hidden_layers") or 0, text.get("interleave_moe_layer_step") or 1
    if not _positive(step):
        refuse("config.json: interleave_moe_layer_step", f"{shown(step)} is not a positive number")
    dense = text.get("intermediate_size_mlp") or 0
    return {
        "num_experts": experts,
        "moe_layers": layers // step if _positive(layers) else 0,
        "dense_intermediate_size": dense if _positive(dense) else 0,
    }


def checked(
    found: dict[str, Any], where: str, names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """`found` itself, once every number is a positive bounded integer and they agree.

    Raises PlanRefused (ModelNotServable) with the field's name as `where` spells it.
    """
    spelled = names or {}

    def field(name: str) -> str:
        return f"{where}: {spelled.get(name, name)}"

    check_architecture(str(found.get("architecture")), field("architecture"))
    for name, limit in _LIMITS.items():
        _check_number(field(name), found.get(name), limit)
    for name, limit in _OPTIONAL.items():
        if found.get(name) not in (None, 0):
            _check_number(field(name), found[name], limit)
    if found["dtype"] not in DTYPES:
        refuse(field("dtype"), f"{shown(found['dtype'])} is not one of {', '.join(DTYPES)}")
    _check_agreement(found, field)
    return found


def _check_number(field: str, value: Any, limit: int) -> None:
    if value is None:
        refuse(field, "is missing", "Sizing needs it; take the model's own config.json")
    if not _positive(value) or value > limit:
        refuse(field, f"{shown(value)} is not a whole number from 1 to {limit}", "Correct it")


def _check_agreement(found: Mapping[str, Any], field: Any) -> None:
    heads, kv_heads, size = found["num_attention_heads"], found["num_kv_heads"], found["head_dim"]
    if heads % kv_heads:
        refuse(
            field("num_kv_heads"),
            f"{heads} attention heads are not divisible by {kv_heads} KV heads",
            "Correct one of the two",
        )
    if heads * size != found["hidden_size"]:
        refuse(
            field("head_dim"),
            f"{heads} heads x {size} is {heads * size}, but the hidden size is "
            f"{found['hidden_size']}",
            "Correct one of the three",
        )
    sparse, layers = found.get("moe_layers") or 0, found["num_layers"]
    if sparse and (sparse > layers or not found.get("num_experts")):
        refuse(
            field("moe_layers"),
            f"{sparse} of {layers} layers have experts, {found.get('num_experts') or 0} each",
            "Correct num_experts and moe_layers",
        )
