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
    """Bytes of weights on a rank of `stage`, its rope table and allocator padding included."""
    held = parameter_bytes(shape, weights_bytes, precision, tensor_parallel, stage)
    table = embedding_bytes(shape, precision.bytes) // tensor_parallel
    padding = _tables(stage, shape) * allocator_padding(table)
    if not _counted(shape):
        padding += stage.layers * sum(
            allocator_padding(each * linear_bytes(precision))
            for each in layer_tensors(shape, tensor_parallel)
        )
    return held + rope_table(shape, precision.bytes) + padding + _UNEXPLAINED


def parameter_bytes(
    shape: Shape, weights_bytes: int, precision: Precision, tensor_parallel: int, stage: Stage
) -> int:
    """Bytes of the parameters on a rank of `stage`.

    Exact for dense 16-bit checkpoints; for others the checkpoint's own bytes, less what is
    never quantised, are divided over layers and ranks.
    """
    size = precision.bytes
    if _counted(shape):
        layers = _stored_layers(shape, weights_bytes, precision, tensor_parallel, stage)
    else:
        numbers = sum(layer_tensors(shape, tensor_parallel))
        layers = stage.layers * numbers * linear_bytes(precision)
    tables = _tables(stage, shape) * (embedding_bytes(shape, size) // tensor_parallel)
    norms = (2 * stage.layers + stage.last) * shape.hidden_size * size
    return layers + tables + norms


def _counted(shape: Shape) -> bool:
    """Whether bytes are taken from the checkpoint, since the shape alone does not give them."""
    return shape.quantized or shape.num_experts > 0


def linear_bytes(precision: Precision) -> int:
    """Bytes of one number of an unquantised checkpoint's linear layers in memory."""
    return 1 if precision.online == "fp8" else precision.bytes


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
