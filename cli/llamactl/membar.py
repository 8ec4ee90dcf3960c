"""Memory of one GPU as a bar: weights, KV cache, activation, graphs, other, free. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llamactl.units import bytes_text

PARTS = (
    ("weightsBytes", "W", "weights"),
    ("kvCacheBytes", "K", "KV"),
    ("activationBytes", "A", "activation"),
    ("cudaGraphBytes", "G", "graphs"),
    ("otherBytes", "o", "other"),
    ("freeBytes", "·", "free"),
)


def bar(per_gpu: Mapping[str, Any], cells: int = 24) -> str:
    """One letter per share of the memory; the cells always add up to `cells`.

    Shares are rounded on their running sum, so that no part takes a cell from another twice.
    """
    values = [max(0, int(per_gpu.get(key) or 0)) for key, _, _ in PARTS]
    total = sum(values)
    if total == 0:
        return ""
    text, seen = "", 0
    for value, (_, letter, _) in zip(values, PARTS, strict=True):
        seen += value
        text += letter * (round(cells * seen / total) - len(text))
    return text


def memory_bar(per_gpu: Mapping[str, Any], cells: int = 24) -> str:
    """The bar and the parts in words, per GPU."""
    words = [f"{name} {bytes_text(per_gpu[key])}" for key, _, name in PARTS if per_gpu.get(key)]
    return f"[{bar(per_gpu, cells)}] {', '.join(words)}"
