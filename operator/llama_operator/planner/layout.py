"""How a model may be cut over GPUs: the rules that vLLM checks, and some only its workers find.

vLLM itself says a clear word only about attention heads. KV heads and the feed-forward size
that do not divide end in a bare AssertionError inside a worker, minutes into a start, so all
rules are checked here, each with its numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from llama_operator.catalog.shape import Shape

# Methods whose weights come in groups along the input; 128 is what nearly all checkpoints use.
_GROUPED = ("awq", "gptq", "awq_marlin", "gptq_marlin")
_USUAL_GROUP = 128
_MAX_TENSOR_PARALLEL = 128


class Layout(NamedTuple):
    """Tensor parallel within a node, pipeline stages over nodes."""

    tensor_parallel: int
    pipeline_parallel: int = 1
    nodes: int = 1

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor_parallel * self.pipeline_parallel

    def __str__(self) -> str:
        parts = [f"tensor parallel {self.tensor_parallel}"]
        if self.pipeline_parallel > 1:
            parts.append(f"pipeline parallel {self.pipeline_parallel}")
        cut = " x ".join(parts)
        return f"{cut} over {self.nodes} nodes" if self.nodes > 1 else cut


def tensor_parallel_problem(shape: Shape, tensor_parallel: int, quantization: str) -> str:
    """The first rule that forbids this tensor parallel size, as a sentence; "" if none does."""
    return next(_problems(shape, tensor_parallel, quantization), "")


def _problems(shape: Shape, size: int, quantization: str) -> Iterator[str]:
    heads, kv_heads = shape.num_attention_heads, shape.num_kv_heads
    if heads % size:
        yield f"{heads} attention heads are not divisible by {size}"
    if (kv_heads % size) if kv_heads >= size else (size % kv_heads):
        yield f"{kv_heads} KV heads are neither divisible by {size} nor a divisor of it"
    for width in {shape.intermediate_size, shape.dense_intermediate_size} - {0}:
        if width % size:
            yield f"the feed-forward size {width} is not divisible by {size}"
    if shape.padded_vocab % size:
        yield f"the vocabulary, {shape.padded_vocab} with padding, is not divisible by {size}"
    yield from _group_problems(shape, size, quantization)


def _group_problems(shape: Shape, size: int, quantization: str) -> Iterator[str]:
    group = shape.quant_group_size
    if not group and quantization in _GROUPED:
        group = _USUAL_GROUP
    if not group or not quantization:
        return
    # Row-parallel layers are cut along their input: attention's output and the down projection.
    inputs = (shape.num_attention_heads * shape.head_dim, shape.intermediate_size)
    for width in inputs:
        if width % size == 0 and (width // size) % group:
            yield (
                f"{width} inputs cut in {size} are {width // size}, not a multiple of the "
                f"quantisation's group size {group}"
            )


def valid_tensor_parallel(shape: Shape, quantization: str, limit: int) -> list[int]:
    """Every tensor parallel size up to `limit` that the rules allow, ascending."""
    top = min(limit, shape.num_attention_heads, _MAX_TENSOR_PARALLEL)
    sizes = (size for size in range(1, top + 1) if shape.num_attention_heads % size == 0)
    return [size for size in sizes if not tensor_parallel_problem(shape, size, quantization)]


def stage_layers(layers: int, stages: int) -> list[int]:
    """Layers of each pipeline stage, as vLLM cuts them.

    The remainder goes to the last stages but one, never to the last, which holds the output
    layer (the rule of vLLM's get_pp_indices).
    """
    split = [layers // stages] * stages
    for position in range(2, layers % stages + 2):
        split[-position] += 1
    return split
