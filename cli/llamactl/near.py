"""The nearest of what exists, to offer where a name was mistyped."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """At most `limit` known words that resemble `word`, the best first."""
    import difflib

    return difflib.get_close_matches(word, list(known), n=limit, cutoff=0.5)


def or_list(words: Iterable[str]) -> str:
    """ "a", "a or b", "a, b or c"."""
    return _joined(words, "or")


def and_list(words: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return _joined(words, "and")


def _joined(words: Iterable[str], last: str) -> str:
    items = list(words)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"
