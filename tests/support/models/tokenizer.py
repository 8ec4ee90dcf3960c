"""A byte-level BPE tokenizer out of a word list, without the tokenizers library.

Training would find the merges that occur most; for a model of random weights any merges do, as
long as each is made of tokens that exist. So each word is spelled into one token from left to
right, and every text that is made of other words falls back to letters and bytes: nothing is
ever unknown, and decoding gives back what was encoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

CONSONANTS = "bcdfghklmnprstvw"
VOWELS = "aeiou"


def seeded(seed: int) -> Random:
    """The same sequence on every machine; nothing here is a secret."""
    return Random(seed)  # noqa: S311


def byte_letters() -> dict[int, str]:
    """The printable letter that stands for each byte in a byte-level vocabulary (GPT-2's)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    return letters | {byte: chr(0x100 + place) for place, byte in enumerate(rest)}


def build(specials: list[str], size: int, seed: int) -> dict[str, Any]:
    """tokenizer.json with exactly `size` tokens, `specials` being the first of them."""
    vocab = dict.fromkeys([*specials, *byte_letters().values()])
    merges: list[list[str]] = []
    for word in _words(seeded(seed)):
        left = word[0]
        for letter in word[1:]:
            if len(vocab) == size:
                return _document(specials, list(vocab), merges)
            if left + letter not in vocab:
                merges.append([left, letter])
                vocab[left + letter] = None
            left += letter
    raise AssertionError("the word list has no end")


def _words(random: Random) -> Iterator[str]:
    """Made-up words with a space in front, which the letter for a space stands for."""
    space = byte_letters()[ord(" ")]
    while True:
        syllables = random.randint(1, 3)
        yield space + "".join(
            random.choice(CONSONANTS) + random.choice(VOWELS) for _ in range(syllables)
        )


def _document(specials: list[str], vocab: list[str], merges: list[list[str]]) -> dict[str, Any]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(token, place) for place, token in enumerate(specials)],
        "normalizer": None,
        "pre_tokenizer": byte_level | {"trim_offsets": True},
        "post_processor": None,
        "decoder": byte_level | {"trim_offsets": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: place for place, token in enumerate(vocab)},
            "merges": merges,
        },
    }


def _special(token: str, place: int) -> dict[str, Any]:
    flags = dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
    return {"id": place, "content": token, **flags, "special": True}
