"""Headers of safetensors files: exact bytes of every tensor, and whether config.json tells the truth.

A header is a stranger's text: its length is bounded, and its tensors must cover the file without
a hole, before a single number of it is believed. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeGuard

from llama_operator.api.errors import PlanRefused

if TYPE_CHECKING:
    from llama_operator.catalog.shape import Shape

LENGTH_BYTES = 8
# The format's own limit (safetensors: MAX_HEADER_SIZE).
LONGEST_HEADER = 100_000_000
_LAYER = re.compile(r"^(?:language_model\.)?model\.layers\.(\d+)\.")
_EMBEDDING = ("model.embed_tokens.weight", "language_model.model.embed_tokens.weight")
_PACKED = (".qweight", ".weight_packed")
_FEWER_THAN_16 = ("F8", "F4", "I8", "U8", "I32")


class Tensor(NamedTuple):
    """Type and sizes as the header spells them, and bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int


def header_bytes(start: bytes, file_bytes: int, name: str) -> int:
    """Bytes of length and header together. Raises PlanRefused for a length that cannot be."""
    if len(start) < LENGTH_BYTES:
        _corrupt(name, f"has {file_bytes} bytes, too few for a safetensors header")
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if not 2 <= length <= min(LONGEST_HEADER, file_bytes - LENGTH_BYTES):
        _corrupt(name, f"announces a header of {length:,} bytes in a file of {file_bytes:,}")
    return LENGTH_BYTES + length


def read(header: bytes, data_bytes: int, name: str) -> dict[str, Tensor]:
    """The tensors that a header lists. Raises PlanRefused where they do not cover the data."""
    try:
        found = json.loads(header)
    except (ValueError, RecursionError):
        _corrupt(name, "has a header that is not JSON")
    if not isinstance(found, dict):
        _corrupt(name, "has a header that is not an object")
    tensors = {
        key: _tensor(value, data_bytes, f"{name}: {key[:120]!r}")
        for key, value in found.items()
        if key != "__metadata__"
    }
    covered = sum(each.bytes for each in tensors.values())
    if covered != data_bytes:
        _corrupt(name, f"holds {data_bytes:,} bytes, but its header tells of {covered:,}")
    return tensors


def _tensor(raw: Any, data_bytes: int, name: str) -> Tensor:
    value = raw if isinstance(raw, dict) else {}
    dtype, sizes, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not (isinstance(dtype, str) and _counts(sizes) and _counts(offsets, 2)):
        _corrupt(name, "has no dtype, shape and data_offsets")
    start, end = offsets
    if not start <= end <= data_bytes:
        _corrupt(name, f"lies at {start:,} to {end:,} of {data_bytes:,} bytes")
    return Tensor(dtype, tuple(sizes), end - start)


def _counts(values: Any, length: int | None = None) -> TypeGuard[list[int]]:
    return (
        isinstance(values, list)
        and length in (None, len(values))
        and all(type(each) is int and each >= 0 for each in values)
    )


def shards(index: bytes, present: Mapping[str, Any]) -> list[str]:
    """File names of an index, sorted. Raises PlanRefused for an index that is none, or lies."""
    try:
        weights = json.loads(index)["weight_map"]
        names = sorted(set(weights.values()))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        _corrupt("model.safetensors.index.json", "has no weight_map of tensors to files")
    for each in names:
        if each not in present:
            _corrupt("model.safetensors.index.json", f"names {str(each)[:120]!r}, which is missing")
    return names


def check(shape: Shape, found: Mapping[str, Tensor]) -> None:
    """Raises PlanRefused (ModelNotServable) where config.json and the tensors disagree."""
    layers = {int(match[1]) for match in map(_LAYER.match, found) if match}
    if layers and len(layers) != shape.num_layers:
        _lie("num_hidden_layers", shape.num_layers, f"the files hold {len(layers)} layers")
    table = next((found[name] for name in _EMBEDDING if name in found), None)
    if table is not None and len(table.shape) == 2:
        for key, said, held in (
            ("vocab_size", shape.vocab_size, table.shape[0]),
            ("hidden_size", shape.hidden_size, table.shape[1]),
        ):
            if said != held:
                _lie(key, said, f"the embedding in the files is {list(table.shape)}")
    _check_quantized(shape, found)


def _check_quantized(shape: Shape, found: Mapping[str, Tensor]) -> None:
    packed = [
        name
        for name, each in found.items()
        if _LAYER.match(name)
        and (
            name.endswith(_PACKED)
            or (name.endswith(".weight") and each.dtype.startswith(_FEWER_THAN_16))
        )
    ]
    if packed and not shape.quantized:
        _lie(
            "quantization_config",
            "missing",
            f"{packed[0]} is {found[packed[0]].dtype}: the files are quantised",
        )


def _lie(key: str, said: object, held: str) -> NoReturn:
    raise PlanRefused(
        "ModelNotServable",
        f"is {said}, but {held}",
        field=f"config.json: {key}",
        fix="Take config.json and tensors of one checkpoint",
    )


def _corrupt(name: str, message: str) -> NoReturn:
    raise PlanRefused(
        "ModelNotServable",
        f"{name} {message}",
        field="MODEL",
        fix="The file is damaged or no safetensors file; take another revision, or download again",
    )
