"""Bytes of a checkpoint that nobody has counted: what its tensors add up to, by its sizes.

Exact for 16-bit checkpoints, Llama 4 with its image encoder included; for quantised ones the
bits and group sizes of config.json, within a percent. Headers of the files are better, and used
wherever there are some.
"""

from __future__ import annotations

from typing import Final

from llama_operator.catalog.linears import VISION_ENCODER, linear_numbers, router_numbers
from llama_operator.catalog.shape import Shape

DTYPE_BYTES: Final = {"bfloat16": 2, "float16": 2, "float32": 4}
# Of formats with fewer than 8 bits; most checkpoints name theirs.
_USUAL_GROUP = 128


def checkpoint_bytes(shape: Shape) -> int:
    """Bytes of all tensors of a checkpoint of this shape."""
    linear = linear_numbers(shape)
    packed = linear - min(shape.kept_numbers, linear) if shape.quantized else 0
    rest = linear - packed + _others(shape)
    return rest * DTYPE_BYTES[shape.dtype] + _packed_bytes(shape, packed)


def known_bytes(shape: Shape, weights_bytes: int) -> int:
    """The bytes that were counted, or else the sum by sizes."""
    return weights_bytes if weights_bytes > 0 else checkpoint_bytes(shape)


def _others(shape: Shape) -> int:
    """Numbers outside of linear layers: embeddings, norms, routers, the image encoder."""
    tables = (1 if shape.tied_embeddings else 2) * shape.vocab_size * shape.hidden_size
    norms = (2 * shape.num_layers + 1) * shape.hidden_size
    vision = VISION_ENCODER if "ForConditionalGeneration" in shape.architecture else 0
    return tables + norms + router_numbers(shape) + vision


def _packed_bytes(shape: Shape, numbers: int) -> int:
    """Quantised numbers, with a 16-bit scale and a zero point for each group.

    A method whose bits nobody told is taken for 16.
    """
    bits = shape.quant_bits or 16
    group = shape.quant_group_size or (_USUAL_GROUP if bits < 8 else 0)
    groups = numbers // group if group else 0
    return (numbers * bits + groups * (16 + bits)) // 8
