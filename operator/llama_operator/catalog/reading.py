"""Shapes from where a model describes itself: its config.json, or the status of a LlamaWeights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llama_operator.catalog.config import checked, quantization_config, read_config
from llama_operator.catalog.quantised import kept_numbers
from llama_operator.catalog.shape import STATUS_NAMES, Shape


def shape_from_config(config: Mapping[str, Any]) -> Shape:
    """The shape in a Hugging Face config.json.

    Raises PlanRefused, naming the key, for what is missing, out of range, contradictory, or not a
    Llama that vLLM serves.
    """
    shape = Shape(**read_config(config))
    if not shape.quantized:
        return shape
    return replace(shape, kept_numbers=kept_numbers(shape, quantization_config(config)))


def shape_from_status(status: Mapping[str, Any]) -> Shape:
    """The shape in `status.shape` of a LlamaWeights. Raises PlanRefused as shape_from_config does."""
    found = {name: status.get(key) for name, key in STATUS_NAMES.items()}
    found["quantization"] = found["quantization"] or ""
    found["dtype"] = found["dtype"] or "bfloat16"
    found["tied_embeddings"] = bool(found["tied_embeddings"])
    return Shape(**checked(found, "status.shape", names=STATUS_NAMES))
