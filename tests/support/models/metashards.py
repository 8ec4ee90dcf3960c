"""Meta's layout out of Hugging Face's: the way that a conversion goes, walked backwards.

Written apart from the converter and in terms of rows alone, so that a mistake in one is not
repeated in the other: what was split here and converted there must be the same bytes again. The
.pth files are zip files with a pickle spelled opcode by opcode, as torch spells it.
"""

from __future__ import annotations

import base64
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from tests.support.models.tokenizer import seeded

STORAGE = {"BF16": "BFloat16Storage", "F16": "HalfStorage", "F32": "FloatStorage"}
WIDTH = {"BF16": 2, "F16": 2, "F32": 4}
NAMES = {
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}
TOP = {
    "model.embed_tokens.weight": "tok_embeddings.weight",
    "model.norm.weight": "norm.weight",
    "lm_head.weight": "output.weight",
}


@dataclass(frozen=True)
class Weights:
    """A tensor: shape, bytes, dtype as safetensors names it."""

    shape: tuple[int, ...]
    data: bytes
    dtype: str = "BF16"

    def rows(self) -> list[bytes]:
        size = len(self.data) // self.shape[0]
        return [self.data[place : place + size] for place in range(0, len(self.data), size)]


@dataclass(frozen=True)
class Sizes:
    """Of a made-up model; the feed-forward size is what params.json makes of `hidden`."""

    hidden: int = 64
    layers: int = 2
    heads: int = 8
    kv_heads: int = 8
    inner: int = 192
    vocabulary: int = 640

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    def params(self, **changes: Any) -> dict[str, Any]:
        """params.json; a value None leaves the key out."""
        found: dict[str, Any] = {
            "dim": self.hidden,
            "n_layers": self.layers,
            "n_heads": self.heads,
            "n_kv_heads": self.kv_heads,
            "vocab_size": self.vocabulary,
            "multiple_of": 64,
            "ffn_dim_multiplier": self.inner / (8 * self.hidden / 3),
            "norm_eps": 1e-05,
            "rope_theta": 500000.0,
        }
        return {key: value for key, value in (found | changes).items() if value is not None}


def read(path: Path) -> dict[str, Weights]:
    """The tensors of a safetensors file."""
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        found[name] = Weights(
            tuple(entry["shape"]), data[start + begin : start + end], entry["dtype"]
        )
    return found


def noise(
    sizes: Sizes, seed: int = 1, dtype: str = "BF16", tied: bool = False
) -> dict[str, Weights]:
    """A model of random bytes in Hugging Face's layout."""
    random, kv = seeded(seed), sizes.kv_heads * sizes.head_dim
    hidden, inner = sizes.hidden, sizes.inner

    def made(*shape: int) -> Weights:
        return Weights(shape, random.randbytes(prod(shape) * WIDTH[dtype]), dtype)

    found = {"model.embed_tokens.weight": made(sizes.vocabulary, hidden)}
    shapes = {"q": (hidden, hidden), "k": (kv, hidden), "v": (kv, hidden), "o": (hidden, hidden)}
    for layer in range(sizes.layers):
        prefix = f"model.layers.{layer}"
        for name, shape in shapes.items():
            found[f"{prefix}.self_attn.{name}_proj.weight"] = made(*shape)
        for name in ("gate", "up"):
            found[f"{prefix}.mlp.{name}_proj.weight"] = made(inner, hidden)
        found[f"{prefix}.mlp.down_proj.weight"] = made(hidden, inner)
        found[f"{prefix}.input_layernorm.weight"] = made(hidden)
        found[f"{prefix}.post_attention_layernorm.weight"] = made(hidden)
    found["model.norm.weight"] = made(hidden)
    if not tied:
        found["lm_head.weight"] = made(sizes.vocabulary, hidden)
    return found


def split(
    model: Mapping[str, Weights],
    head_dim: int,
    ranks: int,
    *,
    embed_columns: bool = False,
    doubled: bool = False,
) -> list[dict[str, Weights]]:
    """The same model as `ranks` shards of Meta's.

    `embed_columns`: the embedding is split as in Llama 1 and 2. `doubled`: each key-value head
    is stored twice, as in the 405B of 16 ranks.
    """
    shards: list[dict[str, Weights]] = [{} for _ in range(ranks)]
    for name, tensor in model.items():
        theirs = _name(name)
        for rank, part in enumerate(
            _parts(theirs, tensor, head_dim, ranks, embed_columns, doubled)
        ):
            shards[rank][theirs] = part
    for shard in shards:
        shard["rope.freqs"] = Weights((head_dim // 2,), bytes(head_dim // 2 * 4), "F32")
    return shards


def _name(name: str) -> str:
    if name in TOP:
        return TOP[name]
    _model, _layers, layer, rest = name.split(".", 3)
    return f"layers.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def _parts(
    name: str, tensor: Weights, head_dim: int, ranks: int, embed_columns: bool, doubled: bool
) -> list[Weights]:
    if "norm" in name:
        return [tensor] * ranks
    if ".wq." in name or ".wk." in name:
        tensor = _paired(tensor, head_dim)
    if ".wo." in name or ".w2." in name or (embed_columns and name.startswith("tok_")):
        return _columns(tensor, ranks)
    if doubled and (".wk." in name or ".wv." in name):
        return [part for part in _rows(tensor, ranks // 2) for _ in range(2)]
    return _rows(tensor, ranks)


def _paired(tensor: Weights, head_dim: int) -> Weights:
    """Rows i and i + head_dim / 2 of a head beside each other."""
    rows, made = tensor.rows(), []
    for head in range(0, len(rows), head_dim):
        for place in range(head_dim // 2):
            made += [rows[head + place], rows[head + place + head_dim // 2]]
    return Weights(tensor.shape, b"".join(made), tensor.dtype)


def _rows(tensor: Weights, ranks: int) -> list[Weights]:
    count, size = tensor.shape[0] // ranks, len(tensor.data) // ranks
    shape = (count, *tensor.shape[1:])
    return [
        Weights(shape, tensor.data[rank * size : (rank + 1) * size], tensor.dtype)
        for rank in range(ranks)
    ]


def _columns(tensor: Weights, ranks: int) -> list[Weights]:
    shape = (tensor.shape[0], tensor.shape[1] // ranks)
    size = shape[1] * WIDTH[tensor.dtype]
    rows = tensor.rows()
    return [
        Weights(shape, b"".join(row[rank * size : (rank + 1) * size] for row in rows), tensor.dtype)
        for rank in range(ranks)
    ]


def checkpoint(
    directory: Path, shards: Sequence[Mapping[str, Weights]], params: Any, tokenizer: bytes
) -> Path:
    """Write a directory as Meta's download leaves it."""
    directory.mkdir(parents=True, exist_ok=True)
    for rank, shard in enumerate(shards):
        save(directory / f"consolidated.{rank:02d}.pth", shard)
    (directory / "params.json").write_text(json.dumps(params))
    (directory / "tokenizer.model").write_bytes(tokenizer)
    return directory


def save(path: Path, tensors: Mapping[str, Weights]) -> None:
    """A file as torch.save writes a dictionary of tensors."""
    root = path.name.removesuffix(".pth")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as opened:
        opened.writestr(f"{root}/data.pkl", pickled(tensors))
        opened.writestr(f"{root}/byteorder", "little")
        for key, tensor in enumerate(tensors.values()):
            opened.writestr(f"{root}/data/{key}", tensor.data)
        opened.writestr(f"{root}/version", "3\n")


def pickled(tensors: Mapping[str, Weights]) -> bytes:
    """The pickle of the dictionary, in protocol 2."""
    items = b"".join(
        _text(name) + _tensor(str(key), tensor)
        for key, (name, tensor) in enumerate(tensors.items())
    )
    return b"\x80\x02" + _ORDERED + b"(" + items + b"u."


_ORDERED = b"ccollections\nOrderedDict\n)R"


def _tensor(key: str, tensor: Weights) -> bytes:
    strides = [prod(tensor.shape[place + 1 :]) for place in range(len(tensor.shape))]
    storage = f"ctorch\n{STORAGE[tensor.dtype]}\n".encode()
    count = _number(len(tensor.data) // WIDTH[tensor.dtype])
    reference = b"(" + _text("storage") + storage + _text(key) + _text("cpu") + count + b"tQ"
    layout = _number(0) + _tuple(tensor.shape) + _tuple(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + layout + b"\x89" + _ORDERED + b"tR"


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _tuple(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"


def tiktoken(count: int) -> bytes:
    """A tokenizer.model as Llama 3 has it, of `count` tokens: all bytes, then spelled words."""
    tokens = {bytes([byte]): None for byte in range(256)}
    random = seeded(7)
    while len(tokens) < count:
        word = b" " + bytes(random.choice(b"aeioubdfglmnrst") for _ in range(random.randint(1, 4)))
        for end in range(2, len(word) + 1):
            tokens.setdefault(word[:end])
    lines = [base64.b64encode(token) + f" {rank}".encode() for rank, token in enumerate(tokens)]
    return b"\n".join(lines[:count]) + b"\n"


def sentencepiece(count: int) -> bytes:
    """A tokenizer.model as Llama 2 has it: three special pieces, all bytes, then words."""
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces += [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    letters = ["\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    words = [left + right for left in letters for right in letters[1:]]
    rest = [*words, *letters][-(count - len(pieces)) :]
    pieces += [(text, -float(place), 1) for place, text in enumerate(rest)]
    body = b"".join(_field(1, _piece(*piece)) for piece in pieces)
    return body + _field(2, b"\x18\x02")


def _piece(text: str, score: float, kind: int) -> bytes:
    return _field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind])


def _field(number: int, data: bytes) -> bytes:
    size, length = len(data), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data
