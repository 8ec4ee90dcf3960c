"""quantization_config of a config.json: method, bits, group size, and what stays in 16 bits.

It is a stranger's text: numbers are bounded, and patterns are compared as plain text, since a
regular expression of somebody else can be made to run for hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from llama_operator.catalog.linears import kinds
from llama_operator.catalog.shape import Shape

_BITS: Final = {"fp8": 8, "fbgemm_fp8": 8, "awq": 4, "gptq": 4, "modelopt": 8, "modelopt_fp4": 4}
_ALGORITHMS: Final = {"FP8": 8, "NVFP4": 4, "W4A16_AWQ": 4}
_METHOD: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LISTS: Final = ("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules")
# "model.layers.3.mlp.up_proj", with or without what a multimodal checkpoint has before it.
_OF_LAYER: Final = re.compile(r"(?:^|\.)layers\.(\d{1,6})\.(.+)$")
_LITERAL: Final = re.compile(r"[A-Za-z0-9_.]+")
_MOST_PATTERNS = 64
_MOST_GROUP = 1 << 16


def fields_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Shape that a quantization_config gives; all empty for an empty one."""
    method = str(found.get("quant_method") or ("unknown" if found else ""))
    if method and not _METHOD.fullmatch(method):
        method = "unknown"
    return {
        "quantization": method,
        "quant_bits": _bits(method, found),
        "quant_group_size": _group_size(found),
    }


def kept_numbers(shape: Shape, found: Mapping[str, Any]) -> int:
    """Numbers of linear layers that a quantised checkpoint leaves in 16 bits, by its own lists.

    Meta's FP8 keeps attention and the first and the last layer; most others only the output.
    """
    exact: set[tuple[int, str]] = set()
    patterns: list[str] = []
    for text in _kept(found):
        match = _OF_LAYER.search(text)
        if match and _LITERAL.fullmatch(match[2]):
            exact.add((int(match[1]), match[2]))
        elif len(patterns) < _MOST_PATTERNS:
            patterns += [literal] if (literal := _literal(text)) else []
    return _kept_of(shape, exact, patterns)


def _kept_of(shape: Shape, exact: set[tuple[int, str]], patterns: list[str]) -> int:
    total = 0
    for kind in kinds(shape):
        for name, numbers in kind.linears:
            everywhere = any(f".{each}." in f".{name}." for each in patterns)
            blocks = {name, name.rpartition(".")[0], name.partition(".")[0]}
            layers = {layer for layer, named in exact if named in blocks and layer in kind.layers}
            total += numbers * (len(kind.layers) if everywhere else len(layers))
    return total


def _kept(found: Mapping[str, Any]) -> Iterator[str]:
    for key in _LISTS:
        value = found.get(key)
        yield from (
            (each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
        )


def _literal(text: str) -> str:
    """The longest plain part of a pattern ("re:.*self_attn.*" -> "self_attn"); "" for a short one.

    Whole parts of a name are compared, so `lm_head` and `model.layers` match nothing in a layer.
    """
    plain = text.removeprefix("re:").replace("\\.", ".")
    longest = max(_LITERAL.findall(plain), key=len, default="").strip(".")
    return longest if len(longest) >= 3 else ""


def _bits(method: str, found: Mapping[str, Any]) -> int:
    if found.get("load_in_8bit") is True:
        return 8
    if found.get("load_in_4bit") is True:
        return 4
    named = (found.get("bits"), found.get("w_bit"), *_of_groups(found, "num_bits"))
    value = next((each for each in named if type(each) is int and 1 <= each <= 16), 0)
    return value or _ALGORITHMS.get(str(found.get("quant_algo")), _BITS.get(method, 0))


def _group_size(found: Mapping[str, Any]) -> int:
    named = (found.get("group_size"), found.get("q_group_size"), *_of_groups(found, "group_size"))
    value = next((each for each in named if each is not None), None)
    # -1 stands for one group per channel, which divides by anything.
    return value if type(value) is int and 0 < value <= _MOST_GROUP else 0


def _of_groups(found: Mapping[str, Any], key: str) -> Iterator[Any]:
    groups = found.get("config_groups")
    for group in groups.values() if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if isinstance(weights, Mapping) and weights.get(key):
            yield weights[key]
