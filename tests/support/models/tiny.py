"""A made-up Llama of random weights: half a million parameters, the same bytes on every machine.

It answers nonsense, but loads, shards and serves like a large one, in a second of one core and
with nothing but the standard library. Its heads have 32 dimensions because that is the smallest
size that vLLM's CPU kernels take; with 16 a server starts, says it is healthy, and dies at the
first request. Four query and two key-value heads split over 1, 2 or 4 ranks.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from tests.support.cluster import paths
from tests.support.models import tensorfile, tokenizer
from tests.support.models.tokenizer import seeded
from tests.support.once import once

SEED = 20
HIDDEN, LAYERS, HEADS, KV_HEADS, INTERMEDIATE = 128, 2, 4, 2, 256
VOCABULARY, CONTEXT = 1024, 2048
SPREAD = 0.02  # standard deviation of the weights, as in a Llama before training
SPECIALS = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tiny(out: Path | None = None) -> Path:
    """Make the model in `out` (default: the cache) unless it is there; return the directory."""
    directory = out or paths.cache() / "models/tiny-llama"
    once(directory, _recipe(), lambda: _build(directory))
    return directory


def _recipe() -> str:
    """Changes whenever the code that decides on the bytes does."""
    sources = [Path(str(module.__file__)) for module in (tensorfile, tokenizer)]
    together = b"".join(source.read_bytes() for source in [*sources, Path(__file__)])
    return hashlib.sha256(together).hexdigest()


def _build(directory: Path) -> None:
    directory.mkdir(parents=True)
    documents = {
        "config.json": config(),
        "generation_config.json": {"bos_token_id": 0, "eos_token_id": 1},
        "tokenizer.json": tokenizer.build(SPECIALS, VOCABULARY, SEED),
        "tokenizer_config.json": _tokenizer_config(),
    }
    for name, document in documents.items():
        (directory / name).write_text(json.dumps(document, indent=1) + "\n")
    tensorfile.write(directory / "model.safetensors", dict(_tensors(seeded(SEED))))
    # Whatever the umask is, a server under another user's id must be able to read it.
    directory.chmod(0o755)
    for file in directory.iterdir():
        file.chmod(0o644)


def config() -> dict[str, Any]:
    """config.json, as a Llama 3 has it."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "head_dim": HIDDEN // HEADS,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "initializer_range": SPREAD,
        "intermediate_size": INTERMEDIATE,
        "max_position_embeddings": CONTEXT,
        "mlp_bias": False,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": VOCABULARY,
    }


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIALS[0],
        "eos_token": SPECIALS[1],
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
    }


def _tensors(random: Random) -> Iterator[tuple[str, tensorfile.Tensor]]:
    kv = HIDDEN // HEADS * KV_HEADS
    yield "model.embed_tokens.weight", noise(random, VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", _ones(HIDDEN)
        for name, rows in (("q", HIDDEN), ("k", kv), ("v", kv), ("o", HIDDEN)):
            yield f"{prefix}.self_attn.{name}_proj.weight", noise(random, rows, HIDDEN)
        yield f"{prefix}.post_attention_layernorm.weight", _ones(HIDDEN)
        for name in ("gate", "up"):
            yield f"{prefix}.mlp.{name}_proj.weight", noise(random, INTERMEDIATE, HIDDEN)
        yield f"{prefix}.mlp.down_proj.weight", noise(random, HIDDEN, INTERMEDIATE)
    yield "model.norm.weight", _ones(HIDDEN)
    yield "lm_head.weight", noise(random, VOCABULARY, HIDDEN)


def noise(random: Random, rows: int, columns: int) -> tensorfile.Tensor:
    """A matrix of small random numbers."""
    values = [random.gauss(0.0, SPREAD) for _ in range(rows * columns)]
    return tensorfile.Tensor((rows, columns), _bfloat16(values))


def _ones(size: int) -> tensorfile.Tensor:
    return tensorfile.Tensor((size,), _bfloat16([1.0] * size))


def _bfloat16(values: list[float]) -> bytes:
    """The upper half of each float32: rounding does not matter to noise."""
    wide = struct.pack(f"<{len(values)}f", *values)
    narrow = bytearray(len(wide) // 2)
    narrow[0::2], narrow[1::2] = wide[2::4], wide[3::4]
    return bytes(narrow)
