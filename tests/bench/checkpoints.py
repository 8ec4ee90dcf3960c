"""Checkpoints of Meta's shape and of full width, written as fast as the disk takes them.

Their numbers are one block of memory over and over: a conversion moves bytes and does not care,
and making random ones would take longer than the measurement.
"""

from __future__ import annotations

import json
import random
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path

from tests.support.models import metashards
from tests.support.models.metashards import Weights

_BLOCK = random.Random(2).randbytes(8 << 20)  # noqa: S311


@dataclass(frozen=True)
class Shape:
    """Of a model; `ranks` shards, `sentencepiece` says which tokenizer."""

    model: str
    hidden: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    ranks: int
    sentencepiece: bool

    @property
    def largest(self) -> int:
        """Bytes of the largest tensor: the embedding."""
        return max(self.vocabulary, self.inner) * self.hidden * 2


SHAPES = {
    "13B-shaped, MP 2": Shape("llama-2-13b", 5120, 40, 40, 13824, 32000, 2, True),
    "8B-shaped, MP 1": Shape("llama-3-8b", 4096, 32, 8, 14336, 128256, 1, False),
}


def write(directory: Path, shape: Shape, layers: int) -> Path:
    """The directory that Meta's download would leave."""
    directory.mkdir(parents=True)
    for rank in range(shape.ranks):
        _save(directory / f"consolidated.{rank:02d}.pth", _tensors(shape, layers))
    (directory / "params.json").write_text(json.dumps(_params(shape, layers)))
    made = metashards.sentencepiece if shape.sentencepiece else metashards.tiktoken
    (directory / "tokenizer.model").write_bytes(made(600))
    return directory


def _params(shape: Shape, layers: int) -> dict[str, object]:
    found: dict[str, object] = {
        "dim": shape.hidden, "n_layers": layers, "n_heads": shape.heads,
        "n_kv_heads": shape.kv_heads, "vocab_size": shape.vocabulary, "norm_eps": 1e-5,
    }  # fmt: skip
    return found if shape.sentencepiece else {**found, "rope_theta": 500000.0}


def _tensors(shape: Shape, layers: int) -> dict[str, tuple[int, ...]]:
    width, ranks = shape.hidden, shape.ranks
    kv = shape.kv_heads * (width // shape.heads)
    rows = (shape.vocabulary // ranks, width)
    found: dict[str, tuple[int, ...]] = {
        "tok_embeddings.weight": (shape.vocabulary, width // ranks)
        if shape.sentencepiece
        else rows,
        "norm.weight": (width,),
        "output.weight": rows,
    }
    for layer in range(layers):
        at = f"layers.{layer}"
        found |= {
            f"{at}.attention.wq.weight": (width // ranks, width),
            f"{at}.attention.wk.weight": (kv // ranks, width),
            f"{at}.attention.wv.weight": (kv // ranks, width),
            f"{at}.attention.wo.weight": (width, width // ranks),
            f"{at}.feed_forward.w1.weight": (shape.inner // ranks, width),
            f"{at}.feed_forward.w2.weight": (width, shape.inner // ranks),
            f"{at}.feed_forward.w3.weight": (shape.inner // ranks, width),
            f"{at}.attention_norm.weight": (width,),
            f"{at}.ffn_norm.weight": (width,),
        }
    return found


class _Sized(bytes):
    """Stands for bytes that are too many to be held: only their number is asked for."""

    size: int

    def __len__(self) -> int:
        return self.size


def _sized(count: int) -> _Sized:
    made = _Sized()
    made.size = count
    return made


def _save(path: Path, tensors: dict[str, tuple[int, ...]]) -> None:
    root = path.name.removesuffix(".pth")
    described = {name: Weights(shape, _sized(prod(shape) * 2)) for name, shape in tensors.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as opened:
        opened.writestr(f"{root}/data.pkl", metashards.pickled(described))
        opened.writestr(f"{root}/byteorder", "little")
        for key, tensor in enumerate(described.values()):
            with opened.open(f"{root}/data/{key}", "w", force_zip64=True) as entry:
                _fill(entry, len(tensor.data))


def _fill(entry: object, count: int) -> None:
    while count:
        piece = _BLOCK[: min(count, len(_BLOCK))]
        entry.write(piece)  # type: ignore[attr-defined]
        count -= len(piece)
