"""A Job's last words: one JSON object, small enough for a termination message.

Whatever a hub or a file system said may stand in it, so the token is taken out of it wherever
it appears: servers have been seen to repeat a header in their error text. Meta's signed URL is taken
out in parts, since an error may quote only some of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llama_weights.errors import WeightsError
from llama_weights.volume import guarded

TERMINATION_LOG = Path("/dev/termination-log")
LIMIT = 4096
_MESSAGE_LIMIT = 1024
_SHORTEST = 15


def failure(error: WeightsError) -> dict[str, Any]:
    """The result for an error; its message is printable and short."""
    text = "".join(char if char.isprintable() else " " for char in str(error))
    return {
        "ok": False,
        "condition": error.condition,
        "reason": error.reason,
        "message": text[:_MESSAGE_LIMIT],
    }


def secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """What must not be told: the token, and the values in the query of the signed URL."""
    token = environment.get("HF_TOKEN", "").strip()
    _, *parts = re.split(r"[?&=]|&amp;", environment.get("META_URL", "").strip())
    # A short value, such as a key's id, would also be struck out of words that tell nothing.
    values = (part for part in parts if len(part) >= _SHORTEST)
    return (*((token,) if token else ()), *values)


def encode(result: dict[str, Any], hidden: Sequence[str] = ()) -> str:
    """One line of JSON of at most 4096 bytes, without what must not be told."""
    text = json.dumps(scrubbed(result, hidden))
    if len(text) > LIMIT:
        text = json.dumps(scrubbed({**result, "message": result.get("message", "")[:200]}, hidden))
    return text


def scrubbed(result: dict[str, Any], hidden: Sequence[str]) -> dict[str, Any]:
    """The result with secrets taken out of its texts."""
    return {
        key: scrub(value, hidden) if isinstance(value, str) else value
        for key, value in result.items()
    }


def scrub(text: str, hidden: Sequence[str]) -> str:
    """A text without the secrets."""
    for secret in hidden:
        text = text.replace(secret, "***")
    return text


def write(text: str, path: Path | None) -> None:
    """To the file given, else to the termination log where there is one."""
    target = path or (TERMINATION_LOG if TERMINATION_LOG.exists() else None)
    if target is not None:
        with guarded(target):
            target.write_text(text)
