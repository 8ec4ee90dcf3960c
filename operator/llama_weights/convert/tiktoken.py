"""tokenizer.model of Llama 3 and later: lines of a token in base64 and its rank.

The file holds only the tokens that texts are made of. The 256 special ones after them, and the
pattern that cuts a text into words, are known from Meta's code and differ between 3 and 3.1.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

from llama_weights.convert.refusal import corrupt, shown
from llama_weights.convert.release import Release
from llama_weights.convert.vocabulary import Tokenizer, beginning, byte_letters, document, merges

BEGIN, END, TURN_END, CALL_END = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
)
_SPECIALS = 256
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Place among the special tokens -> name; all other places are reserved and numbered in order.
_COMMON = {
    0: BEGIN,
    1: END,
    6: "<|start_header_id|>",
    7: "<|end_header_id|>",
    9: TURN_END,
}
_SINCE_31 = {4: "<|finetune_right_pad_id|>", 8: CALL_END, 10: "<|python_tag|>"}


def looks_like(data: bytes) -> bool:
    """Is this such a file, and not sentencepiece's?"""
    first = data.split(b"\n", 1)[0].split()
    return len(first) == 2 and first[1].isdigit()


def convert(path: Path, data: bytes, release: Release) -> Tokenizer:
    """The tokenizer. Raises FormatError (CorruptCheckpoint) naming the line."""
    ranks = _ranks(path, data)
    specials = _specials(len(ranks), release)
    pattern = {
        "type": "Split",
        "pattern": {"Regex": _WORDS},
        "behavior": "Isolated",
        "invert": False,
    }
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    processors = [{**level, "trim_offsets": False, "use_regex": True}]
    made = document(
        {
            "unk_token": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": ranks,
            "merges": merges(ranks),
        },
        specials,
        normalizer=None,
        pre_tokenizer={
            "type": "Sequence",
            "pretokenizers": [pattern, {**level, "use_regex": False}],
        },
        decoder={**level, "use_regex": True},
        processors=[*processors, beginning(BEGIN, specials[BEGIN])],
    )
    return Tokenizer(made, specials, len(ranks) + _SPECIALS)


def _ranks(path: Path, data: bytes) -> dict[str, int]:
    letters, found = byte_letters(), dict[str, int]()
    for number, line in enumerate(data.splitlines(), 1):
        token, rank = _line(path, number, line)
        text = "".join(letters[byte] for byte in token)
        if rank != len(found) or text in found:
            message = f"line {number} has rank {rank}, expected {len(found)} and a new token"
            raise corrupt(path, message)
        found[text] = rank
    missing = [byte for byte, letter in enumerate(letters) if letter not in found]
    if missing:
        raise corrupt(
            path, f"has no token for {len(missing)} of 256 bytes, first {missing[0]:#04x}"
        )
    return found


def _line(path: Path, number: int, line: bytes) -> tuple[bytes, int]:
    words = line.split()
    try:
        token, rank = base64.b64decode(words[0], validate=True), int(words[1][:12])
    except (IndexError, ValueError, binascii.Error):
        raise corrupt(path, f"line {number} is {shown(line)}, expected base64 and a rank") from None
    return token, rank


def _specials(start: int, release: Release) -> dict[str, Any]:
    named = _COMMON if release.name == "3" else {**_COMMON, **_SINCE_31}
    reserved = (f"<|reserved_special_token_{number}|>" for number in range(_SPECIALS))
    names = [named.get(place) or next(reserved) for place in range(_SPECIALS)]
    return {name: start + place for place, name in enumerate(names)}
