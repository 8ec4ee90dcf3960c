"""Bytes of weights on one rank, as torch's allocator counts them.

Not simply bytes / ranks: norms and the rope table are on every rank, KV heads are copied where
there are more ranks than heads, the vocabulary is padded, tied embeddings lie on the first and
the last stage, and an FP8 checkpoint keeps its embedding in 16 bits. Llama 4 Scout's rope table
alone is 2.5 GiB on every GPU.
"""

from __future__ import annotations

from typing import NamedTuple

from llama_operator.catalog.shape import Shape
from llama_operator.planner.checkpoint import DTYPE_BYTES, known_bytes

MIB = 1 << 20
# Measured beyond tensors of known size: 16 MiB and more, see _hole.
_LARGEST_HOLE = 16 * MIB
# Four scales of attention in each layer, in blocks of 512 bytes.
_SCALES = 4 * 512


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
    sizes = [each * linear_bytes(precision) for each in layer_tensors(shape, tensor_parallel)]
    if not _counted(shape):
        padding += stage.layers * sum(map(allocator_padding, sizes))
    small = _SCALES * stage.layers + _hole(shape, sizes)
    return held + rope_table(shape, precision.bytes) + padding + small


def _hole(shape: Shape, sizes: list[int]) -> int:
    """Bytes that no tensor accounts for: 0 in measured runs with a short context, else 16 MiB.

    The rope table is made in 32 bits, converted and freed. Where a tensor of the layers has just
    the size of what was freed, and so takes its place, nothing was left over either (70B on two
    GPUs). The mechanism is inferred from sizes, not traced.
    """
    freed = rope_table(shape, 4)
    return 0 if freed in sizes and not _counted(shape) else min(_LARGEST_HOLE, freed // 4)


def parameter_bytes(
    shape: Shape, weights_bytes: int, precision: Precision, tensor_parallel: int, stage: Stage
) -> int:
    """Bytes of the parameters on a rank of `stage`.

    Exact for dense 16-bit text models; for others the checkpoint's own bytes (0: by its sizes),
    less what is never quantised, are divided over layers and ranks.
    """
    size = precision.bytes
    if _counted(shape):
        counted = known_bytes(shape, weights_bytes)
        layers = _stored_layers(shape, counted, precision, tensor_parallel, stage)
    else:
        numbers = sum(layer_tensors(shape, tensor_parallel))
        layers = stage.layers * numbers * linear_bytes(precision)
    tables = _tables(stage, shape) * (embedding_bytes(shape, size) // tensor_parallel)
    norms = (2 * stage.layers + stage.last) * shape.hidden_size * size
    return layers + tables + norms


def _counted(shape: Shape) -> bool:
    """Whether bytes are taken from the checkpoint, since a layer's sizes alone do not give them.

    Llama 4 has an image encoder too; the status of a LlamaWeights does not tell its experts.
    """
    return shape.quantized or not shape.plain


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

    From 10 MiB on it asks CUDA for multiples of 2 MiB (c10/cuda/CUDACachingAllocator), and kept
    the rest in the block in every measured run: 0.5 to 1.75 MiB a tensor.
    """
    return -size % (2 * MIB) if size >= 10 * MIB else 0
