"""Small checkpoints for the tests: a config.json, and safetensors files whose tensors are zeros."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
# A decoder whose whole checkpoint is a few kilobytes.
SMALL: dict[str, Any] = {
    **CONFIG,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}
Spec = Mapping[str, tuple[str, tuple[int, ...], int]]


def embedding(vocab: int = 49152, hidden: int = 576) -> Spec:
    """The embedding alone, in bfloat16."""
    return {"model.embed_tokens.weight": ("BF16", (vocab, hidden), 2 * vocab * hidden)}


def layers(count: int, dtype: str = "BF16", size: int = 100) -> Spec:
    """One tensor for each layer."""
    return {
        f"model.layers.{n}.mlp.up_proj.weight": (dtype, (size,), size * 2) for n in range(count)
    }


def safetensors(tensors: Spec, *, length: int | None = None, cut: int = 0) -> bytes:
    """A file of zeros under a header; `length` is what it announces, `cut` bytes are missing."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    announced = len(text) if length is None else length
    whole = announced.to_bytes(8, "little") + text + bytes(offset)
    return whole[: len(whole) - cut]


def repository(**files: bytes) -> dict[str, bytes]:
    """File name -> bytes of a repository in two shards; `files` replace them."""
    first, second = (f"model-0000{n}-of-00002.safetensors" for n in (1, 2))
    tensors = {first: embedding(512, 64), second: layers(2)}
    index = {name: file for file, held in tensors.items() for name in held}
    return {
        "config.json": json.dumps(SMALL).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors.index.json": json.dumps({"weight_map": index}).encode(),
        **{name: safetensors(held) for name, held in tensors.items()},
        **files,
    }
