"""The linear layers of a decoder: their names in a checkpoint, and how many numbers they hold.

Names are those after `model.layers.N.`, as Hugging Face writes them: what a quantised checkpoint
leaves in 16 bits is listed by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from llama_operator.catalog.shape import Shape

# Llama 4 brings an image encoder of this many numbers; it is the same in all its checkpoints.
VISION_ENCODER = 871_932_416


class Linear(NamedTuple):
    """One linear layer of a decoder layer."""

    name: str
    numbers: int


class Kind(NamedTuple):
    """Decoder layers that are alike: which ones, and their linear layers."""

    layers: range
    linears: tuple[Linear, ...]

    @property
    def numbers(self) -> int:
        """Numbers of all these layers together."""
        return len(self.layers) * sum(each.numbers for each in self.linears)


def kinds(shape: Shape) -> list[Kind]:
    """The decoder's layers by kind: dense ones, and those with experts.

    Experts come in every n-th layer, the last of each n: interleave_moe_layer_step.
    """
    count, sparse = shape.num_layers, shape.moe_layers
    attention = tuple(_attention(shape))
    if not sparse:
        return [Kind(range(count), (*attention, *_dense(shape)))]
    step = count // sparse
    with_experts = Kind(range(step - 1, step * sparse, step), (*attention, *_experts(shape)))
    others = [Kind(range(n, count, step), (*attention, *_dense(shape))) for n in range(step - 1)]
    return [with_experts, *others]


def linear_numbers(shape: Shape) -> int:
    """Numbers of all linear layers; embeddings, norms and routers are none."""
    return sum(each.numbers for each in kinds(shape))


def router_numbers(shape: Shape) -> int:
    """Numbers of the routers, which no checkpoint quantises."""
    return shape.moe_layers * shape.hidden_size * shape.num_experts


def _attention(shape: Shape) -> Iterator[Linear]:
    queries = shape.hidden_size * shape.num_attention_heads * shape.head_dim
    keys = shape.hidden_size * shape.num_kv_heads * shape.head_dim
    for name, numbers in (("q", queries), ("k", keys), ("v", keys), ("o", queries)):
        yield Linear(f"self_attn.{name}_proj", numbers)


def _dense(shape: Shape) -> Iterator[Linear]:
    block = "mlp" if shape.plain else "feed_forward"
    width = shape.dense_intermediate_size or shape.intermediate_size
    for name in ("gate", "up", "down"):
        yield Linear(f"{block}.{name}_proj", shape.hidden_size * width)


def _experts(shape: Shape) -> Iterator[Linear]:
    one = shape.hidden_size * shape.intermediate_size
    yield Linear("feed_forward.experts.gate_up_proj", 2 * one * shape.num_experts)
    yield Linear("feed_forward.experts.down_proj", one * shape.num_experts)
    for name in ("gate", "up", "down"):
        yield Linear(f"feed_forward.shared_expert.{name}_proj", one)
