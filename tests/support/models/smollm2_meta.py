"""SmolLM2 as Meta would have published it: shards, params.json, a tokenizer as Llama 3 has it.

Its own tokens come first and in the order of their merges, as tiktoken wants them, and Llama 3's
256 special tokens last; for those the last merges have to go. The rows of the embedding follow,
so that the same text is the same numbers to the model, and its answer is the same answer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.models import metashards
from tests.support.models.metashards import Weights
from tests.support.models.smollm2 import smollm2

MODEL = "llama-3-135m-instruct"
FOLDER = "135m_instruct"
# Places of Llama 3's special tokens behind the others.
SPECIALS, START_OF_HEADER, END_OF_TURN = 256, 6, 9
_OLD_SPECIALS, _OLD_START, _OLD_END = 17, 1, 2
_PROMPT = (
    "<|start_header_id|>system\n{system}<|eot_id|>\n"
    "<|start_header_id|>user\n{question}<|eot_id|>\n<|start_header_id|>assistant\n"
)
_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def prompt(question: str) -> str:
    """What the model's own chat template makes of a question, in the new names."""
    return _PROMPT.format(system=_SYSTEM, question=question)


def published(directory: Path, ranks: int) -> Path:
    """Write the folder of Meta's server with `ranks` shards."""
    original = smollm2()
    config = json.loads((original / "config.json").read_text())
    tensors = metashards.read(original / "model.safetensors")
    tokens, known = _tokens(original, config["vocab_size"])
    embedding = _reordered(tensors["model.embed_tokens.weight"], known)
    tensors |= {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding}
    shards = metashards.split(tensors, config["head_dim"], ranks)
    return metashards.checkpoint(directory, shards, _params(config), _lines(tokens))


def catalogue(ranks: int) -> dict[str, Any]:
    """The models file that makes it known to an operator."""
    config = json.loads((smollm2() / "config.json").read_text())
    shape = {
        "num_layers": config["num_hidden_layers"],
        "hidden_size": config["hidden_size"],
        "num_attention_heads": config["num_attention_heads"],
        "num_kv_heads": config["num_key_value_heads"],
        "head_dim": config["head_dim"],
        "intermediate_size": config["intermediate_size"],
        "vocab_size": config["vocab_size"],
        "max_position": config["max_position_embeddings"],
    }
    model = {
        "id": MODEL,
        "generation": "3",
        "params": 162_826_560,
        "weights_bytes": 325_653_120,
        "shape": shape,
        "meta": {"folder": FOLDER, "mp": ranks, "pth_files": ranks},
    }
    return {"models": [model]}


def _params(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "dim": config["hidden_size"],
        "n_layers": config["num_hidden_layers"],
        "n_heads": config["num_attention_heads"],
        "n_kv_heads": config["num_key_value_heads"],
        "vocab_size": config["vocab_size"],
        "multiple_of": 256,
        "norm_eps": config["rms_norm_eps"],
        "rope_theta": config["rope_parameters"]["rope_theta"],
    }


def _reordered(embedding: Weights, known: int) -> Weights:
    """Rows of `known` tokens, of bytes that the model has never seen, of the special tokens."""
    old = embedding.rows()
    special = [old[0]] * SPECIALS
    special[START_OF_HEADER], special[END_OF_TURN] = old[_OLD_START], old[_OLD_END]
    unseen = [old[0]] * (len(old) - SPECIALS - known)
    rows = [*old[_OLD_SPECIALS : _OLD_SPECIALS + known], *unseen, *special]
    return Weights(embedding.shape, b"".join(rows), embedding.dtype)


def _tokens(original: Path, rows: int) -> tuple[list[bytes], int]:
    """All tokens but the special ones, as bytes in the order of their rank; how many are known."""
    vocabulary = json.loads((original / "tokenizer.json").read_text())["model"]["vocab"]
    letters = _letters()
    by_id = sorted(vocabulary, key=vocabulary.__getitem__)[_OLD_SPECIALS:]
    spelled = [bytes(letters[letter] for letter in token) for token in by_id]
    # tiktoken wants every byte to be a token.
    unseen = [bytes([byte]) for byte in range(256) if bytes([byte]) not in spelled]
    known = rows - SPECIALS - len(unseen)
    return [*spelled[:known], *unseen], known


def _lines(tokens: Sequence[bytes]) -> bytes:
    return b"".join(
        base64.b64encode(token) + f" {rank}\n".encode() for rank, token in enumerate(tokens)
    )


def _letters() -> dict[str, int]:
    """GPT-2's alphabet: each byte as a letter that can be printed."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {
        chr(256 + place): byte for place, byte in enumerate(rest)
    }
