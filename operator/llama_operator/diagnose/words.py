"""A verdict in words that may stand in a condition: short, one line, nothing that moves by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llama_operator.diagnose.known import Patch

# What differs from run to run, and what nobody should read in a status.
_MOVING = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        (r"\b(?:hf|sk)[-_][\w-]{8,}", "<secret>"),
        (r"(?i)\b(api[-_]?key|token|password|authorization)(['\"]?[=:]\s*)\S+", r"\1\2<secret>"),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<address>"),
        (r"\[[0-9a-fA-F:]{3,}\](?::\d+)?", "<address>"),
        (r"0x[0-9a-fA-F]+", "<pointer>"),
        (r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|\b[0-9a-f]{32,}\b", "<id>"),
        (r"/(?:psm|mp|sem|nccl|torch|tmp)[-_]\w+", "/<name>"),
        (r"/tmp/\S+", "/tmp/<name>"),  # noqa: S108
        (r"\b(pid|process|tid|port)([= ])\d+", r"\1\2<number>"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*", "<time>"),
    )
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def clip(text: str, limit: int) -> str:
    """One line of at most `limit` characters, without control characters."""
    flat = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def still(text: str) -> str:
    """The text without what differs from one run to the next: addresses, ids, times, secrets."""
    for pattern, put in _MOVING:
        text = pattern.sub(put, text)
    return text


def same_but_for_numbers(one: str, other: str) -> bool:
    """Whether two messages say the same of two runs: free memory is never quite the same."""
    return _NUMBER.sub("#", one) == _NUMBER.sub("#", other)


def in_words(patch: Patch) -> str:
    """A patch as "spec.sizing.maxModelLen: 1920", several joined by commas."""
    return ", ".join(f"{path}: {value}" for path, value in _leaves(patch, ""))


def _leaves(value: object, path: str) -> Iterable[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        yield path, ", ".join(f"{each['name']}={each['value']}" for each in value)
    else:
        yield path, str(value).lower() if isinstance(value, bool) else value
