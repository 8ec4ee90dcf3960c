"""Which files of a repository are fetched: what vLLM reads, and nothing else.

Most Llama repositories hold every weight twice (`original/*.pth` beside the safetensors), and
vLLM itself once downloaded both. Only files at the top of the repository count.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from llama_weights.errors import FormatError, VerifyError
from llama_weights.files import RemoteFile

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
WEIGHTS = "*.safetensors"
SMALL = (
    CONFIG,
    INDEX,
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
    "preprocessor_config.json",
    "processor_config.json",
    # Quantised checkpoints: vLLM reads the method from these where config.json is silent.
    "hf_quant_config.json",
    "quantize_config.json",
    "quant_config.json",
)
_SHARD = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors$")
_OTHER_WEIGHTS = (".pth", ".bin", ".gguf", ".pt", ".ckpt", ".h5", ".msgpack", ".onnx", ".pte")


def select(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """The files to fetch, sorted by path.

    Raises FormatError for a repository without safetensors or config.json and VerifyError
    (FilesMissing) for one that lacks some of its own shards.
    """
    top = [file for file in files if "/" not in file.path]
    weights = _weights([file for file in top if fnmatchcase(file.path, WEIGHTS)])
    if not weights:
        raise _no_weights(files)
    if CONFIG not in {file.path for file in top}:
        raise _no_config(files)
    _check_shards(weights)
    small = [file for file in top if _is_small(file.path)]
    return sorted([*small, *weights], key=lambda file: file.path)


def is_read(name: str) -> bool:
    """Whether vLLM reads a file of that name at the top of a checkpoint."""
    return fnmatchcase(name, WEIGHTS) or _is_small(name)


def _is_small(name: str) -> bool:
    return any(fnmatchcase(name, each) for each in SMALL)


def _weights(found: list[RemoteFile]) -> list[RemoteFile]:
    # The same weights may be there once more: in the publisher's own layout, or in one piece.
    plain = [file for file in found if not file.path.startswith(("consolidated", "adapter_"))]
    shards = [file for file in plain if _SHARD.match(file.path)]
    return shards or plain


def _check_shards(weights: Iterable[RemoteFile]) -> None:
    groups: dict[tuple[str, int], set[int]] = {}
    for file in weights:
        match = _SHARD.match(file.path)
        if match:
            key = match["stem"], int(match["count"])
            groups.setdefault(key, set()).add(int(match["number"]))
    for (stem, count), numbers in groups.items():
        missing = sorted(set(range(1, min(count, 99999) + 1)) - numbers)
        if missing:
            first = f"{stem}-{missing[0]:05d}-of-{count:05d}.safetensors"
            raise VerifyError(
                "FilesMissing",
                f"the repository lacks {len(missing)} of its {count} shards, the first is {first}",
                fix="Choose a revision that was uploaded completely",
            )


def _no_weights(files: Sequence[RemoteFile]) -> FormatError:
    kinds = Counter(PurePosixPath(file.path).suffix for file in files)
    others = [f"{kinds[kind]} {kind}" for kind in _OTHER_WEIGHTS if kinds[kind]]
    if any(file.path.startswith("adapter_") for file in files):
        others.append("a LoRA adapter")
    held = ", ".join(others) or f"{len(files)} files, none of them weights"
    return FormatError(
        "FormatUnsupported",
        f"the repository has no *.safetensors at its top; it holds {held}",
        field="spec.source.huggingFace.repo",
        fix="Name a repository in Hugging Face format, such as meta-llama/Llama-3.1-8B-Instruct",
    )


def _no_config(files: Sequence[RemoteFile]) -> FormatError:
    names = ", ".join(sorted(file.path for file in files)[:5])
    adapter = any(file.path == "adapter_config.json" for file in files)
    what = "it is a LoRA adapter" if adapter else f"it holds {names}"
    return FormatError(
        "FormatUnsupported",
        f"the repository has no config.json; {what}",
        field="spec.source.huggingFace.repo",
        fix="Name the repository of the model itself",
    )
