"""What LoRA adapters take: buffers on every GPU, copies in the host's memory, files on a volume.

vLLM makes its buffers when it loads the model, for as many adapters of the highest rank as it may
hold at once, whether any is loaded or not. Read from `create_lora_weights` of vLLM 0.32
(lora/layers: base_linear, column_parallel_linear, fused_moe, vocab_parallel_embedding,
logits_processor), without `--fully-sharded-loras`:

    a linear layer         adapters x rank x (inputs + outputs / tp)    cut by its outputs
                           adapters x rank x (inputs / tp + outputs)    cut by its inputs
    qkv and gate_up        one A for each of their parts, so 3 and 2 times the inputs
    experts                the same for each expert
    embedding, first stage adapters x rank x (vocabulary + hidden)
    logits, last stage     adapters x rank x (vocabulary + hidden), whole on every rank

each number as wide as the model's. A rank is rounded up to one that vLLM knows. CUDA graphs are
captured twice, with adapters and without (`budget`). None of this was measured on a GPU.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from llama_operator.catalog.shape import Shape
from llama_operator.planner.weights import Stage

RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# Files hold what they were trained in, which may be float32.
_FILE_BYTES: Final = 4


class Lora(NamedTuple):
    """Room for so many adapters of at most this rank."""

    adapters: int
    rank: int

    @property
    def reserved_rank(self) -> int:
        """The rank that vLLM reserves for."""
        return next((each for each in RANKS if each >= self.rank), RANKS[-1])


class Module(NamedTuple):
    """A kind of linear layer: what goes in and out, and whether it is cut by its outputs."""

    name: str
    inputs: int
    outputs: int
    by_outputs: bool


def modules(shape: Shape) -> tuple[Module, ...]:
    """The linear layers of a decoder's layer that an adapter can change, as PEFT names them."""
    hidden, heads = shape.hidden_size, shape.num_attention_heads * shape.head_dim
    keys, width = shape.num_kv_heads * shape.head_dim, _width(shape)
    return (
        Module("q_proj", hidden, heads, True),
        Module("k_proj", hidden, keys, True),
        Module("v_proj", hidden, keys, True),
        Module("o_proj", heads, hidden, False),
        Module("gate_proj", hidden, width, True),
        Module("up_proj", hidden, width, True),
        Module("down_proj", width, hidden, False),
    )


def buffer_bytes(shape: Shape, lora: Lora | None, number: int, tensor: int, stage: Stage) -> int:
    """Bytes on one rank whose numbers take `number` bytes; 0 without adapters."""
    if lora is None:
        return 0
    each = sum(_cut(module, tensor) for module in modules(shape))
    experts = sum(_cut(module, tensor) for module in modules(shape)[4:])
    layers = stage.layers * each + _moe_layers(shape, stage) * shape.num_experts * experts
    ends = (stage.first + stage.last) * (shape.vocab_size + shape.hidden_size)
    return lora.adapters * lora.reserved_rank * (layers + ends) * number


def host_bytes(shape: Shape, lora: Lora | None, number: int) -> int:
    """Bytes of all adapters in the memory of one worker process, which keeps them whole."""
    return lora.adapters * _numbers(shape, lora.rank) * number if lora else 0


def volume_bytes(shape: Shape, lora: Lora) -> int:
    """Bytes of files of all adapters; twice, since a new version comes before the old one goes."""
    return 2 * lora.adapters * _numbers(shape, lora.rank) * _FILE_BYTES


def _numbers(shape: Shape, rank: int) -> int:
    layer = sum(module.inputs + module.outputs for module in modules(shape))
    ends = 2 * (shape.vocab_size + shape.hidden_size)
    return rank * (shape.num_layers * layer + ends)


def _cut(module: Module, tensor: int) -> int:
    if module.by_outputs:
        return module.inputs + -(-module.outputs // tensor)
    return -(-module.inputs // tensor) + module.outputs


def _moe_layers(shape: Shape, stage: Stage) -> int:
    return min(stage.layers, shape.moe_layers) if shape.num_experts else 0


def _width(shape: Shape) -> int:
    return shape.dense_intermediate_size or shape.intermediate_size
