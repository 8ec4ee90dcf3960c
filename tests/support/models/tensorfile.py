"""The safetensors format, as much of it as a made-up model needs, without torch.

A file is 8 bytes with the length of the header (little endian), the header as JSON, and the
tensors one after the other: https://huggingface.co/docs/safetensors, "Format".
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

ALIGNMENT = 8  # of the first tensor: readers map the file and look at it as numbers


@dataclass(frozen=True)
class Tensor:
    """Numbers in bfloat16, little endian, two bytes each."""

    shape: tuple[int, ...]
    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) != 2 * prod(self.shape):
            raise ValueError(f"{len(self.data)} bytes for a bfloat16 tensor of {self.shape}")


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` in their order, with the mode that the umask gives."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in tensors.items():
        end = offset + len(tensor.data)
        header[name] = {
            "dtype": "BF16",
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    body = b"".join(tensor.data for tensor in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
