"""params.json, and whether its numbers can be those of a Llama.

Sizes that only the weights know (vocabulary, feed-forward) are not taken from here: Llama 2 says
-1 for its vocabulary. What is here is compared with the shapes of the weights later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_weights import volume
from llama_weights.convert.refusal import corrupt, shown

NAME = "params.json"
_LIMIT, _LARGEST, _MOST_LAYERS = 1 << 20, 1 << 24, 4096


@dataclass(frozen=True)
class Params:
    """Numbers of the model. `vocabulary` is 0 where the file does not say, `feed_forward` is
    what the weights must have, 0 where the file does not say.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    norm_eps: float
    rope_theta: float
    vocabulary: int
    feed_forward: int

    @property
    def head_dim(self) -> int:
        """Numbers per head."""
        return self.hidden // self.heads


def load(directory: Path) -> dict[str, Any]:
    """The file as an object. Raises FormatError (CorruptCheckpoint)."""
    path = directory / NAME
    try:
        with path.open("rb") as opened:
            data = opened.read(_LIMIT)
    except FileNotFoundError:
        message = f"is not in {directory}"
        raise corrupt(path, message, "Put it beside consolidated.00.pth") from None
    except OSError as error:
        raise volume.explain(error, path) from error
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        start = data[:40].decode(errors="replace")
        raise corrupt(path, f"is not JSON, it begins with {start!r}") from None
    if not isinstance(found, dict):
        raise corrupt(path, f"is a JSON {type(found).__name__}, not an object")
    return found


def parse(found: Mapping[str, Any]) -> Params:
    """The numbers. Raises FormatError (CorruptCheckpoint) naming the first that cannot be."""
    hidden, heads = _count(found, "dim"), _count(found, "n_heads")
    kv_heads = _count(found, "n_kv_heads", heads)
    if hidden % heads or (hidden // heads) % 2:
        raise corrupt(NAME, f"dim {hidden} does not make whole, even heads of n_heads {heads}")
    if heads % kv_heads:
        raise corrupt(NAME, f"n_heads {heads} is not a multiple of n_kv_heads {kv_heads}")
    return Params(
        hidden,
        _count(found, "n_layers", most=_MOST_LAYERS),
        heads,
        kv_heads,
        _real(found, "norm_eps", 1e-5),
        _real(found, "rope_theta", 10000.0),
        0 if found.get("vocab_size", -1) == -1 else _count(found, "vocab_size"),
        _feed_forward(found, hidden),
    )


def _feed_forward(found: Mapping[str, Any], hidden: int) -> int:
    """multiple * ceil(int(multiplier * int(8 * dim / 3)) / multiple), Meta's model.py."""
    if found.get("multiple_of") is None:
        return 0
    multiple = _count(found, "multiple_of")
    wanted = int(8 * hidden / 3)
    if found.get("ffn_dim_multiplier") is not None:
        wanted = int(_real(found, "ffn_dim_multiplier", 1.0) * wanted)
    return multiple * -(-wanted // multiple)


def _count(
    found: Mapping[str, Any], key: str, default: int | None = None, most: int = _LARGEST
) -> int:
    value = found.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        message = f"{key} is {shown(value)}, expected a whole number from 1 to {most}"
        raise corrupt(NAME, message)
    return value


def _real(found: Mapping[str, Any], key: str, default: float) -> float:
    value = found.get(key)
    value = default if value is None else value
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    if not sound or not 0 < value < 1e12:
        raise corrupt(NAME, f"{key} is {shown(value)}, expected a number above 0")
    return float(value)
