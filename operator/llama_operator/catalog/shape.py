"""The shape of a decoder: all that sizing needs to know of a model.

A shape comes from the catalogue, from a Hugging Face config.json, or from the status of a
LlamaWeights (`reading`). Whatever its source, its numbers have been bounded and agree with each
other: a config.json with 33 heads in a hidden size of 4096 once reached the workers and died
there with a bare AssertionError.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

DENSE: Final = "LlamaForCausalLM"
STATUS_NAMES: Final = {
    "architecture": "architecture",
    "num_layers": "numLayers",
    "hidden_size": "hiddenSize",
    "num_attention_heads": "numAttentionHeads",
    "num_kv_heads": "numKVHeads",
    "head_dim": "headDim",
    "intermediate_size": "intermediateSize",
    "vocab_size": "vocabSize",
    "max_position": "maxPosition",
    "tied_embeddings": "tiedEmbeddings",
    "dtype": "dtype",
    "quantization": "quantization",
}


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder as vLLM reads them from config.json.

    `max_position` is the context in tokens, `dtype` that of the checkpoint ("bfloat16",
    "float16", "float32"), `quantization` its method or "" ("fp8", "awq", "gptq", ...).
    `quant_bits` and `quant_group_size` are 0 where unknown (a group also where it is a channel);
    `kept_numbers` of a quantised checkpoint's linear layers are not quantised. `num_experts` is 0
    for a dense model; `moe_layers` layers have experts, the others a feed-forward of
    `dense_intermediate_size`.
    """

    architecture: str
    num_layers: int
    hidden_size: int
    num_attention_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    max_position: int
    tied_embeddings: bool
    dtype: str = "bfloat16"
    quantization: str = ""
    quant_group_size: int = 0
    num_experts: int = 0
    moe_layers: int = 0
    dense_intermediate_size: int = 0
    quant_bits: int = 0
    kept_numbers: int = 0

    def to_status(self) -> dict[str, Any]:
        """The object of `status.shape`, camelCase."""
        return {key: getattr(self, name) for name, key in STATUS_NAMES.items()}

    @property
    def padded_vocab(self) -> int:
        """Rows of the embedding in memory: vLLM pads the vocabulary to a multiple of 64."""
        return -(-self.vocab_size // 64) * 64

    @property
    def plain(self) -> bool:
        """Whether it is a text model of dense layers, whose sizes give its bytes exactly."""
        return self.architecture == DENSE and not self.num_experts

    @property
    def quantized(self) -> bool:
        """Whether the checkpoint's linear layers are stored in fewer than 16 bits."""
        return bool(self.quantization)

    def with_context(self, tokens: int) -> Shape:
        """The same decoder with another longest context, in tokens."""
        return replace(self, max_position=tokens)


def kv_bytes_per_token(shape: Shape, tensor_parallel: int, layers: int, kv_bytes: int = 2) -> int:
    """Bytes that one token takes in the KV cache of one rank holding `layers` layers.

    Heads are divided over ranks, and replicated where there are more ranks than KV heads:
    beyond that a larger tensor parallel size saves nothing.
    """
    heads = max(1, shape.num_kv_heads // tensor_parallel)
    return 2 * layers * heads * shape.head_dim * kv_bytes
