"""A byte-pair vocabulary as tokenizer.json wants it: tokens, and the merges that make them.

Neither of Meta's tokenizer files lists merges. Both merge any two neighbours that make a token,
the better token first, so every way to cut a token into two tokens is a merge, ordered by the
rank of what it makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Tokenizer:
    """What a tokenizer.model became: tokenizer.json, and the ids of its special tokens."""

    document: dict[str, Any]
    specials: Mapping[str, int] = field(default_factory=dict)
    size: int = 0


def merges(ranks: Mapping[str, int]) -> list[list[str]]:
    """All pairs of tokens that make a token, best first; `ranks` of all tokens that can be made."""
    found: list[tuple[int, int, int, str, str]] = []
    for token, rank in ranks.items():
        for place in range(1, len(token)):
            left, right = token[:place], token[place:]
            if left in ranks and right in ranks:
                found.append((rank, ranks[left], ranks[right], left, right))
    return [[left, right] for *_, left, right in sorted(found)]


def byte_letters() -> list[str]:
    """The printable letter that stands for each byte in a byte-level vocabulary (GPT-2's)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    letters, spare = [], 0x100
    for byte in range(256):
        letters.append(chr(byte if byte in printable else spare))
        spare += byte not in printable
    return letters


def added(specials: Mapping[str, int]) -> list[dict[str, Any]]:
    """`added_tokens` of tokenizer.json."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    ordered = sorted(specials.items(), key=lambda each: each[1])
    return [{"id": place, "content": text, **flags, "special": True} for text, place in ordered]


def beginning(token: str, place: int) -> dict[str, Any]:
    """The post-processor that puts the begin token in front."""
    special = {"SpecialToken": {"id": token, "type_id": 0}}
    first, second = (
        {"Sequence": {"id": name, "type_id": kind}} for name, kind in (("A", 0), ("B", 1))
    )
    again = {"SpecialToken": {"id": token, "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [special, first],
        "pair": [special, first, again, second],
        "special_tokens": {token: {"id": token, "ids": [place], "tokens": [token]}},
    }


def document(
    model: Mapping[str, Any],
    specials: Mapping[str, int],
    *,
    normalizer: Any,
    pre_tokenizer: Any,
    decoder: Any,
    processors: Sequence[Any],
) -> dict[str, Any]:
    """tokenizer.json."""
    one = processors[0]
    several = {"type": "Sequence", "processors": list(processors)}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added(specials),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": one if len(processors) == 1 else several,
        "decoder": decoder,
        "model": {
            "type": "BPE",
            "dropout": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            **model,
        },
    }
