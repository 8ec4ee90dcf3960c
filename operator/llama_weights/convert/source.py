"""The directory that Meta's download left: which files make a checkpoint, opened together."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llama_weights import volume
from llama_weights.convert.refusal import corrupt
from llama_weights.convert.release import quantised
from llama_weights.convert.shard import Shard
from llama_weights.errors import UsageError

_NAME = re.compile(r"^consolidated\.(\d{2})\.pth$")
_SCALES = re.compile(r"^fp8_scales_\d+\.pt$")


def is_shard(name: str) -> bool:
    """Whether a file of that name is one of Meta's shards."""
    return bool(_NAME.match(name))


def find(directory: Path) -> list[Path]:
    """The shards in the order of their ranks.

    Raises UsageError for no directory, FormatError for missing shards and FP8 checkpoints.
    """
    if not directory.is_dir():
        message = f"{directory} is not a directory"
        raise UsageError(message, field="SRC", fix="Name the folder that holds params.json")
    with volume.guarded(directory):
        names = sorted(entry.name for entry in directory.iterdir())
    scales = [name for name in names if _SCALES.match(name)]
    if scales:
        raise quantised(scales[0])
    ranks = {int(match[1]): name for name in names if (match := _NAME.match(name))}
    if not ranks:
        raise _nothing(directory, names)
    missing = sorted(set(range(max(ranks) + 1)) - set(ranks))
    if missing:
        raise corrupt(
            f"consolidated.{missing[0]:02d}.pth",
            f"is missing beside {len(ranks)} others up to {ranks[max(ranks)]}",
            "Download it into the same directory",
        )
    return [directory / ranks[rank] for rank in sorted(ranks)]


def _nothing(directory: Path, names: Sequence[str]) -> Exception:
    held = ", ".join(names[:5]) or "nothing"
    done = any(name.endswith(".safetensors") for name in names)
    fix = "vLLM loads safetensors as they are" if done else "Name the folder with the .pth files"
    return corrupt(directory, f"holds no consolidated.00.pth but {held[:200]}", fix)


@contextlib.contextmanager
def opened(paths: Sequence[Path]) -> Iterator[list[Shard]]:
    """All shards, closed at the end."""
    with contextlib.ExitStack() as stack:
        shards = []
        for path in paths:
            shard = Shard(path)
            stack.callback(shard.close)
            shards.append(shard)
        yield shards


def fingerprint(
    model: str, params: Mapping[str, Any], shards: Sequence[Shard], documents: Mapping[str, bytes]
) -> str:
    """40 hex digits that name what is converted: the CRCs of all tensors are in the zips' lists."""
    digest = hashlib.sha256(json.dumps([model, params], sort_keys=True).encode())
    for data in [*(shard.identity for shard in shards), *documents.values()]:
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()[:40]
