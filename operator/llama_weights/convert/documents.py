"""config.json, generation_config.json and the tokenizer's files.

Meta's params.json names neither context, stop tokens nor rope scaling. The script that people
used to convert with left the scaling of 3.1 out, and such a model forgets after 8,192 tokens.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llama_weights import volume
from llama_weights.convert import sentencepiece, tiktoken
from llama_weights.convert.chat import TEMPLATES
from llama_weights.convert.layout import Layout
from llama_weights.convert.params import Params
from llama_weights.convert.refusal import corrupt, unsupported
from llama_weights.convert.release import Release
from llama_weights.convert.safetensors import INDEX, Output, index
from llama_weights.convert.vocabulary import Tokenizer

TOKENIZER = "tokenizer.model"
_LIMIT = 64 << 20
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
_STEP = "<step>"


def documents(
    source: Path, release: Release, params: Params, layout: Layout, files: list[Output]
) -> dict[str, bytes]:
    """All files but the weights, by name. Raises FormatError for an unusable tokenizer.model."""
    model = _tokenizer_model(source)
    tokenizer = _tokenizer(source / TOKENIZER, model, release)
    _check_size(source / TOKENIZER, tokenizer, layout.vocabulary)
    made = {
        "config.json": _config(release, params, layout, tokenizer),
        "generation_config.json": _generation(release, tokenizer),
        "tokenizer_config.json": _tokenizer_config(release),
    }
    if len(files) > 1:
        made[INDEX] = index(files)
    # One token per line would make 400,000 lines.
    compact = json.dumps(tokenizer.document, ensure_ascii=False, separators=(",", ":"))
    texts = {name: (json.dumps(each, indent=2) + "\n").encode() for name, each in made.items()}
    return {**texts, "tokenizer.json": (compact + "\n").encode(), TOKENIZER: model}


def _tokenizer_model(source: Path) -> bytes:
    # Llama 1 and 2 keep it beside the folders of the models.
    for path in (source / TOKENIZER, source.absolute().parent / TOKENIZER):
        if path.is_file():
            with volume.guarded(path), path.open("rb") as opened:
                return opened.read(_LIMIT)
    message = f"is neither in {source} nor above it"
    raise corrupt(TOKENIZER, message, "Put it beside params.json; it is part of the download")


def _tokenizer(path: Path, model: bytes, release: Release) -> Tokenizer:
    if tiktoken.looks_like(model) != release.tiktoken:
        kinds = ("sentencepiece (Llama 1, 2, Code Llama)", "tiktoken (Llama 3 and later)")
        found, expected = kinds[not release.tiktoken], kinds[release.tiktoken]
        fix = "Use the tokenizer.model of this model, or name the right release with --model"
        raise unsupported(path, f"is not of {expected} but, it seems, of {found}", fix)
    if release.tiktoken:
        return tiktoken.convert(path, model, release)
    return sentencepiece.convert(path, model)


def _check_size(path: Path, tokenizer: Tokenizer, vocabulary: int) -> None:
    if tokenizer.size > vocabulary:
        raise corrupt(
            path,
            f"makes {tokenizer.size} tokens, but the embedding has {vocabulary} rows",
            "Use the tokenizer.model that came with these files",
        )


def _config(
    release: Release, params: Params, layout: Layout, tokenizer: Tokenizer
) -> dict[str, Any]:
    begin, ends = _begin_and_ends(release, tokenizer)
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": begin,
        "eos_token_id": ends[0] if len(ends) == 1 else ends,
        "head_dim": params.head_dim,
        "hidden_act": "silu",
        "hidden_size": params.hidden,
        "initializer_range": 0.02,
        "intermediate_size": layout.feed_forward,
        "max_position_embeddings": release.context,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": params.heads,
        "num_hidden_layers": params.layers,
        "num_key_value_heads": layout.kv_heads,
        "pretraining_tp": 1,
        "rms_norm_eps": params.norm_eps,
        "rope_scaling": release.rope_scaling,
        "rope_theta": params.rope_theta,
        "tie_word_embeddings": layout.tied,
        "torch_dtype": _DTYPES[layout.dtype],
        "use_cache": True,
        "vocab_size": layout.vocabulary,
    }


def _begin_and_ends(release: Release, tokenizer: Tokenizer) -> tuple[int, list[int]]:
    ids = tokenizer.specials
    if not release.tiktoken:
        ends = [ids[sentencepiece.END]]
        if release.template == "code-70b" and _STEP in tokenizer.document["model"]["vocab"]:
            ends.append(tokenizer.document["model"]["vocab"][_STEP])
        return ids[sentencepiece.BEGIN], ends
    names = [tiktoken.END]
    if release.instruct:
        names += [tiktoken.CALL_END, tiktoken.TURN_END]
    return ids[tiktoken.BEGIN], [ids[name] for name in names if name in ids]


def _generation(release: Release, tokenizer: Tokenizer) -> dict[str, Any]:
    begin, ends = _begin_and_ends(release, tokenizer)
    return {
        "bos_token_id": begin,
        "do_sample": True,
        "eos_token_id": ends[0] if len(ends) == 1 else ends,
        "temperature": 0.6,
        "top_p": 0.9,
    }


def _tokenizer_config(release: Release) -> dict[str, Any]:
    ends = tiktoken.TURN_END if release.instruct else tiktoken.END
    found: dict[str, Any] = {
        "bos_token": tiktoken.BEGIN if release.tiktoken else sentencepiece.BEGIN,
        "clean_up_tokenization_spaces": False,
        "eos_token": ends if release.tiktoken else sentencepiece.END,
        "model_max_length": release.context,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    if not release.tiktoken:
        found["unk_token"] = sentencepiece.UNKNOWN
    if release.template:
        found["chat_template"] = TEMPLATES[release.template]
    return found
