"""Builds requests, so that a test says only what matters to it."""

from __future__ import annotations

from typing import Any

from llama_operator.catalog import catalog
from llama_operator.catalog.shape import Shape
from llama_operator.planner import gpus
from llama_operator.planner.plan import Request

SMOLLM2 = Shape(
    architecture="LlamaForCausalLM",
    num_layers=30,
    hidden_size=576,
    num_attention_heads=9,
    num_kv_heads=3,
    head_dim=64,
    intermediate_size=1536,
    vocab_size=49152,
    max_position=8192,
    tied_embeddings=True,
)
SMOLLM2_BYTES = 269_060_552


def ask(
    model: str | Shape = "llama-3.1-8b-instruct", gpu: str | None = "h100", **pins: Any
) -> Request:
    """A request for a catalogue model (or a shape) on a GPU by short name."""
    if isinstance(model, Shape):
        shape, size, name = model, pins.pop("weights_bytes", 0), "own"
    else:
        found = catalog.load().resolve(model)
        shape, size, name = found.shape, found.weights_bytes, found.id
    card = gpus.find(gpu) if gpu else None
    if card is not None and card.vendor == "amd":
        pins.setdefault("device", "rocm")
    return Request(shape=shape, weights_bytes=size, gpu=card, model_name=name, **pins)


def smollm2_on_cpu(**pins: Any) -> Request:
    """SmolLM2-135M on cpus."""
    return Request(
        shape=SMOLLM2, weights_bytes=SMOLLM2_BYTES, device="cpu", model_name="smollm2", **pins
    )
