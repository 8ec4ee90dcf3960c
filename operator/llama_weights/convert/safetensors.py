"""The files to write: which tensors go into which, and their headers, before a byte is copied.

A safetensors file is 8 bytes with the length of the header, the header as JSON and the tensors
one after another (https://huggingface.co/docs/safetensors, "Format"), so all of it but the
numbers is known from the shapes.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llama_weights.convert.pieces import Target

LIMIT = 5_000_000_000
INDEX = "model.safetensors.index.json"
_ALIGNMENT = 8  # of the first tensor: readers map the file and look at it as numbers


@dataclass(frozen=True)
class Output:
    """One safetensors file."""

    name: str
    targets: tuple[Target, ...]

    @cached_property
    def header(self) -> bytes:
        """The file's bytes before the first tensor."""
        data: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        offset = 0
        for target in self.targets:
            offsets = [offset, offset + target.size]
            shape = list(target.shape)
            data[target.name] = {"dtype": target.dtype, "shape": shape, "data_offsets": offsets}
            offset += target.size
        text = json.dumps(data, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        return struct.pack("<Q", len(text)) + text

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.header) + sum(target.size for target in self.targets)

    def identity(self, fingerprint: str) -> str:
        """Names the bytes of this file, given the fingerprint of what it is made from."""
        return hashlib.sha256(fingerprint.encode() + self.header).hexdigest()


def outputs(targets: Sequence[Target], limit: int = LIMIT) -> list[Output]:
    """Files of at most `limit` bytes of tensors each, unless a single tensor is larger."""
    groups: list[list[Target]] = [[]]
    filled = 0
    for target in targets:
        if groups[-1] and filled + target.size > limit:
            groups.append([])
            filled = 0
        groups[-1].append(target)
        filled += target.size
    return [
        Output(_name(number, len(groups)), tuple(group)) for number, group in enumerate(groups, 1)
    ]


def _name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"


def index(files: Sequence[Output]) -> dict[str, Any]:
    """model.safetensors.index.json."""
    places = {target.name: file.name for file in files for target in file.targets}
    total = sum(target.size for file in files for target in file.targets)
    return {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
