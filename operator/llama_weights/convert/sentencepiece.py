"""tokenizer.model of Llama 1, 2 and Code Llama: a sentencepiece model, which is a protobuf.

Only the list of pieces is read, with a reader of the wire format that follows no nesting deeper
than that: https://protobuf.dev/programming-guides/encoding and sentencepiece_model.proto.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_weights.convert.refusal import corrupt, unsupported
from llama_weights.convert.vocabulary import Tokenizer, beginning, document, merges

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
_NORMAL, _UNKNOWN, _CONTROL, _USER, _BYTE = 1, 2, 3, 4, 6
_PIECES, _TRAINER, _MODEL_TYPE, _BPE = 1, 2, 3, 2
_SPACE = "\u2581"
# Code Llama's infilling marks are ordinary pieces that no text may be cut into.
_INFILL = re.compile(rf"^{_SPACE}<(PRE|MID|SUF|EOT)>$")


@dataclass(frozen=True)
class _Piece:
    text: str
    score: float
    kind: int


def convert(path: Path, data: bytes) -> Tokenizer:
    """The tokenizer. Raises FormatError for what is no sentencepiece model of byte pairs."""
    pieces = _pieces(path, data)
    vocab = {piece.text: place for place, piece in enumerate(pieces)}
    _check(path, pieces, vocab)
    specials = {
        piece.text: vocab[piece.text]
        for piece in pieces
        if piece.kind in (_UNKNOWN, _CONTROL, _USER) or _INFILL.match(piece.text)
    }
    made = document(
        {
            "unk_token": UNKNOWN,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges(_ranks(pieces, specials)),
        },
        specials,
        normalizer=_sequence(
            "normalizers", {"type": "Prepend", "prepend": _SPACE}, _spaces(" ", _SPACE)
        ),
        pre_tokenizer=None,
        decoder=_sequence(
            "decoders",
            _spaces(_SPACE, " "),
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ),
        processors=[beginning(BEGIN, specials[BEGIN])],
    )
    return Tokenizer(made, specials, len(pieces))


def _sequence(key: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", key: list(steps)}


def _spaces(old: str, new: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def _ranks(pieces: list[_Piece], specials: dict[str, int]) -> dict[str, int]:
    """Pieces that merging makes, the best score first."""
    able = [piece for piece in pieces if piece.kind == _NORMAL and piece.text not in specials]
    ordered = sorted(able, key=lambda piece: -piece.score)
    return {piece.text: rank for rank, piece in enumerate(ordered)}


def _check(path: Path, pieces: list[_Piece], vocab: dict[str, int]) -> None:
    if len(vocab) != len(pieces):
        raise corrupt(path, f"lists {len(pieces) - len(vocab)} of its {len(pieces)} pieces twice")
    missing = [text for text in (UNKNOWN, BEGIN, END) if text not in vocab]
    if missing:
        raise corrupt(path, f"has no piece {missing[0]!r} among its {len(pieces)}")
    count = sum(piece.kind == _BYTE for piece in pieces)
    if count != 256:
        raise corrupt(path, f"has {count} byte pieces, expected 256")


def _pieces(path: Path, data: bytes) -> list[_Piece]:
    found: list[_Piece] = []
    kind = 1
    try:
        for number, value in _fields(data):
            if number == _PIECES and isinstance(value, bytes):
                found.append(_piece(value))
            elif number == _TRAINER and isinstance(value, bytes):
                kind = next((int(v) for n, v in _fields(value) if n == _MODEL_TYPE), 1)
    except (ValueError, IndexError, struct.error):
        message = f"is not a sentencepiece model: damaged after piece {len(found)}"
        raise corrupt(path, message) from None
    if not found:
        raise corrupt(path, "holds no pieces")
    if kind != _BPE:
        what = f"is a sentencepiece model of type {kind}, expected {_BPE} (BPE)"
        raise unsupported(path, what, "Use the tokenizer.model that came with these files")
    return found


def _piece(data: bytes) -> _Piece:
    text, score, kind = b"", 0.0, _NORMAL
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            text = value
        elif number == 2 and isinstance(value, bytes):
            score = struct.unpack("<f", value)[0]
        elif number == 3 and isinstance(value, int):
            kind = value
    return _Piece(text.decode(), score, kind)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, number or bytes) of a message; raises ValueError or IndexError on garbage."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield tag >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            size, place = _varint(data, place)
        if (not size and kind != 2) or place + size > len(data):
            raise ValueError("field")
        yield tag >> 3, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
    raise ValueError("varint")
