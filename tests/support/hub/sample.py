"""A small checkpoint with everything that a real repository has, made of reproducible bytes."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.support.hub.repository import Repository

REPO = "org/tiny-llama"
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 512,
    "max_position_embeddings": 2048,
    "torch_dtype": "bfloat16",
}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
WANTED = ("config.json", "model.safetensors.index.json", "tokenizer.json", *SHARDS)
UNWANTED = ("README.md", "original/consolidated.00.pth", "pytorch_model.bin", "picture.png")


def contents(size: int = 300_000, **changes: bytes) -> dict[str, bytes]:
    """File name -> bytes; `size` of each shard. `changes` are added under their own names."""
    made = {
        "config.json": json.dumps(CONFIG).encode(),
        "tokenizer.json": b'{"model": {"type": "BPE"}}',
        "model.safetensors.index.json": json.dumps(
            {"weight_map": {f"w{number}": name for number, name in enumerate(SHARDS)}}
        ).encode(),
    }
    for number, name in enumerate(SHARDS):
        made[name] = random.Random(number).randbytes(size)  # noqa: S311
    return {**made, **dict.fromkeys(UNWANTED, b"never fetched"), **changes}


def repository(size: int = 300_000, **options: Any) -> Repository:
    """The sample as a repository of the emulated hub."""
    return Repository.of(REPO, contents(size), **options)
