"""LoRA adapters: which of their files are fetched, and whether vLLM can load what they hold.

vLLM takes what it finds: an adapter of another method fails when it is loaded, one whose layers have
other names is loaded and changes nothing. So its config and the header of its tensors are read
first. Only safetensors are taken; the other format runs code of whoever made it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llama_weights.errors import FormatError
from llama_weights.files import RemoteFile
from llama_weights.hashing import digests_of
from llama_weights.preflight import mismatch
from llama_weights.shape import parse_config
from llama_weights.sources.client import Client
from llama_weights.sources.huggingface import Checkpoint, commit_of

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
FORMAT = "lora"
LONGEST_HEADER = 16 << 20
_CONFIG_LIMIT = 1 << 20
_HIGHEST_RANK, _WIDEST, _MOST_KINDS = 1 << 16, 1 << 24, 16
_NAME = re.compile(
    r"^(?:base_model\.model\.)?(?:.*?\.)??(?:layers\.(?P<layer>\d{1,4})\.)?(?:[A-Za-z_]+\.)*?"
    r"(?P<kind>[A-Za-z][A-Za-z0-9_]{0,63})\.lora_(?P<half>[AB])\.weight$"
)
# Features of PEFT that change what the tensors mean and that vLLM refuses.
_REFUSED = {
    "use_dora": "DoRA",
    "lora_bias": "a bias",
    "modules_to_save": "whole layers (modules_to_save)",
    "layer_replication": "replicated layers",
    "alora_invocation_tokens": "an activated LoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "block-diagonal LoRA",
    "trainable_token_indices": "trained tokens",
}


def select(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """The two files of an adapter. Raises FormatError, saying what is there instead."""
    found = sorted((file for file in files if file.path in (CONFIG, TENSORS)), key=_path)
    missing = [name for name in (CONFIG, TENSORS) if name not in map(_path, found)]
    if missing:
        names = ", ".join(sorted(file.path for file in files)[:5]) or "nothing"
        raise FormatError(
            "FormatUnsupported",
            f"there is no {missing[0]} at its top, there is {names}",
            field="source",
            fix="Name a LoRA adapter that PEFT has saved as safetensors (its default)",
        )
    return found


def look(client: Client, repo: str, revision: str) -> dict[str, Any]:
    """What a repository holds, before anything is fetched. Raises WeightsError."""
    commit = commit_of(client, repo, revision)
    source = Checkpoint(client, repo, commit, select)
    files = source.wanted()
    config = next(file for file in files if file.path == CONFIG)
    data = source.read(config, _CONFIG_LIMIT)
    if digests_of(config, data).published != config.digest:
        raise mismatch(CONFIG)
    tensors = next(file for file in files if file.path == TENSORS)
    length = header_length(source.part(tensors, 0, 8), tensors.size)
    header = source.part(tensors, 8, 8 + length)
    return finding(commit, files, data, header)


def finding(
    commit: str, files: Sequence[RemoteFile], config: bytes, header: bytes
) -> dict[str, Any]:
    """The result of a look. Raises FormatError for what vLLM would not load."""
    return {
        "commit": commit,
        "bytes": sum(file.size for file in files),
        "files": len(files),
        "format": FORMAT,
        "adapter": facts(parse_config(config), parse_header(header)),
    }


def facts(config: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """`status.adapter`: rank, base, layers, and the widths of each kind of layer."""
    _check_method(config)
    halves: dict[str, dict[str, tuple[int, int]]] = {}
    layers = 0
    for name, entry in tensors.items():
        match = _NAME.match(name)
        if match is None:
            raise _corrupt(f"the tensor {name[:120]!r} is none of a LoRA adapter")
        halves.setdefault(match["kind"], {})[match["half"]] = _shape(name, entry)
        layers = max(layers, int(match["layer"] or -1) + 1)
    if not halves or len(halves) > _MOST_KINDS:
        raise _corrupt(f"it changes {len(halves)} kinds of layers, 1 to {_MOST_KINDS} are usual")
    ranks = [half["A"][0] for half in halves.values() if "A" in half]
    return {
        "rank": max([*ranks, _declared(config)]),
        "base": str(config.get("base_model_name_or_path") or "")[:200],
        "layers": layers,
        "modules": [_module(kind, half) for kind, half in sorted(halves.items())],
    }


def header_length(start: bytes, size: int) -> int:
    """Of a safetensors file of `size` bytes. Raises FormatError (CorruptCheckpoint)."""
    length = int.from_bytes(start[:8], "little")
    if not 2 <= length <= min(LONGEST_HEADER, size - 8):
        raise _corrupt(f"{TENSORS} announces a header of {length} bytes in a file of {size}")
    return length


def parse_header(data: bytes) -> dict[str, Any]:
    """Tensors by name."""
    try:
        found = {key: each for key, each in json.loads(data).items() if key != "__metadata__"}
    except (ValueError, AttributeError, RecursionError):
        raise _corrupt(f"{TENSORS} has a header that is not one of safetensors") from None
    return found


def _path(file: RemoteFile) -> str:
    return file.path


def _check_method(config: Mapping[str, Any]) -> None:
    method = config.get("peft_type")
    if method != "LORA":
        raise _unsupported(f"peft_type is {str(method)[:40]!r}", "vLLM loads LORA")
    if config.get("bias", "none") != "none":
        raise _unsupported(f"bias is {str(config['bias'])[:40]!r}", "Train it with bias none")
    for key, what in _REFUSED.items():
        if config.get(key):
            raise _unsupported(f"{key} is set: {what}", "vLLM loads plain LoRA adapters")


def _declared(config: Mapping[str, Any]) -> int:
    rank = config.get("r")
    sound = isinstance(rank, int) and not isinstance(rank, bool) and 0 < rank < _HIGHEST_RANK
    if not sound:
        raise _corrupt(f"r is {str(rank)[:40]!r}, not a rank")
    pattern = config.get("rank_pattern") or {}
    others = [each for each in pattern.values() if isinstance(each, int)]
    return max(int(str(rank)), *others, 0)


def _shape(name: str, entry: Any) -> tuple[int, int]:
    shape = entry.get("shape") if isinstance(entry, dict) else None
    sound = isinstance(shape, list) and len(shape) == 2
    if not sound or not all(isinstance(each, int) and 0 < each < _WIDEST for each in shape or ()):
        raise _corrupt(f"the tensor {name[:120]!r} is no matrix")
    first, second = shape or (0, 0)
    return first, second


def _module(kind: str, half: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    if set(half) != {"A", "B"} or half["A"][0] != half["B"][1]:
        raise _corrupt(f"{kind} has no pair of matrices of one rank")
    return {"name": kind, "inputs": half["A"][1], "outputs": half["B"][0]}


def _unsupported(what: str, fix: str) -> FormatError:
    return FormatError("FormatUnsupported", what, field=CONFIG, fix=fix)


def _corrupt(message: str) -> FormatError:
    return FormatError(
        "CorruptCheckpoint", message, field="source", fix="Choose another revision or directory"
    )
