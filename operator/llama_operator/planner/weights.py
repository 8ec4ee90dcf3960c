"""Bytes of weights on one rank, as torch's allocator counts them.

Not simply bytes / ranks: norms and the rope table are on every rank, KV heads are copied where
there are more ranks than heads, the vocabulary is padded, tied embeddings lie on the first and
the last stage, and an FP8 checkpoint keeps its embedding in 16 bits. Llama 4 Scout's rope table
alone is 2.5 GiB on every GPU.
"""

from __future__ import annotations

from typing import NamedTuple

from llama_operator.catalog.shape import Shape

MIB = 1 << 20
DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
# What is allocated beyond tensors of known size: 0.1 to 48 MiB in measured runs, 16 mostly.
_UNEXPLAINED = 16 * MIB


class Precision(NamedTuple):
    """In what the engine holds numbers: `dtype`, KV cache bytes per number, FP8 made at load."""

    dtype: str
    kv_bytes: int
    quantization: str = ""
    online: str = ""

    @property
    def bytes(self) -> int:
        """Bytes of one unquantised number."""
        return DTYPE_BYTES[self.dtype]


class Stage(NamedTuple):
    """One pipeline stage: how many layers, and whether it is the first or the last."""

    layers: int
    first: bool = True
    last: bool = True


def rank_weights(
    shape: Shape, weights_bytes: int, precision: Precision, tensor_parallel: int, stage: Stage
) -> int:
    """Bytes of weights on a rank of `stage`, its rope table and allocator padding included.

    Exact for 16-bit dense checkpoints; for others the checkpoint's own bytes, less what is
    never quantised, are divided over layers and ranks.
    """
    size = precision.bytes
    if shape.quantized or shape.num_experts:
        layers = _stored_layers(shape, weights_bytes, precision, tensor_parallel, stage)
        padding = 0
    else:
        linear_bytes = 1 if precision.online == "fp8" else size
        tensors = [each * linear_bytes for each in layer_tensors(shape, tensor_parallel)]
        layers = stage.layers * sum(tensors)
        padding = stage.layers * sum(map(allocator_padding, tensors))
    tables = _tables(stage, shape) * (embedding_bytes(shape, size) // tensor_parallel)
    padding += _tables(stage, shape) * allocator_padding(
        embedding_bytes(shape, size) // tensor_parallel
    )
    norms = (2 * stage.layers + stage.last) * shape.hidden_size * size
    return layers + tables + norms + rope_table(shape, size) + padding + _UNEXPLAINED


def layer_tensors(shape: Shape, tensor_parallel: int) -> tuple[int, int, int, int]:
    """Numbers in a dense layer's tensors on one rank: qkv, output, gate and up, down."""
    hidden, head = shape.hidden_size, shape.head_dim
    query = shape.num_attention_heads // tensor_parallel * head
    keys = max(1, shape.num_kv_heads // tensor_parallel) * head
    width = shape.intermediate_size // tensor_parallel
    return hidden * (query + 2 * keys), query * hidden, 2 * hidden * width, width * hidden


def embedding_bytes(shape: Shape, size: int) -> int:
    """Bytes of the whole embedding (or output layer) with its padded vocabulary."""
    return shape.padded_vocab * shape.hidden_size * size


def rope_table(shape: Shape, size: int) -> int:
    """Bytes of the table of rotary positions that every rank holds."""
    return shape.max_position * shape.head_dim * size


def _tables(stage: Stage, shape: Shape) -> int:
    # A tied embedding serves as the output layer too, so one stage holds it once.
    if shape.tied_embeddings:
        return int(stage.first or stage.last)
    return int(stage.first) + int(stage.last)


def _stored_layers(
    shape: Shape, weights_bytes: int, precision: Precision, tensor_parallel: int, stage: Stage
) -> int:
    stored = DTYPE_BYTES[shape.dtype]
    copies = 1 if shape.tied_embeddings else 2
    outside = copies * shape.vocab_size * shape.hidden_size * stored
    outside += (2 * shape.num_layers + 1) * shape.hidden_size * stored
    body = max(0, weights_bytes - outside)
    if not shape.quantized:
        body = body * (1 if precision.online == "fp8" else precision.bytes) // stored
    mine = body * stage.layers // shape.num_layers // tensor_parallel
    return mine + _copied_heads(shape, precision, tensor_parallel, stage)


def _copied_heads(shape: Shape, precision: Precision, tensor_parallel: int, stage: Stage) -> int:
    if tensor_parallel <= shape.num_kv_heads:
        return 0
    one = 2 * shape.hidden_size * shape.head_dim
    extra = one - one * shape.num_kv_heads // tensor_parallel
    return stage.layers * extra * (1 if precision.online else precision.bytes)


def allocator_padding(size: int) -> int:
    """Bytes that torch's caching allocator adds to a tensor of `size` bytes.

    It asks CUDA for 2 MiB multiples from 10 MiB on, and keeps a remainder of up to 1 MiB in the
    block instead of splitting it off (c10/cuda/CUDACachingAllocator).
    """
    if size < 10 * MIB:
        return 0
    rest = -size % (2 * MIB)
    return rest if rest <= MIB else 0


def formula_bytes(shape: Shape, size: int) -> int:
    """Bytes of a dense unquantised checkpoint: what safetensors of it sum up to."""
    layer = sum(layer_tensors(shape, 1)) + 2 * shape.hidden_size
    tables = (1 if shape.tied_embeddings else 2) * shape.vocab_size * shape.hidden_size
    return (shape.num_layers * layer + tables + shape.hidden_size) * size
