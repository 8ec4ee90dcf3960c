"""A Job's last words: one JSON object, small enough for a termination message.

Whatever a hub or a file system said may stand in it, so the token is taken out of it wherever
it appears: servers have been seen to repeat a header in their error text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llama_weights.errors import WeightsError
from llama_weights.volume import guarded

TERMINATION_LOG = Path("/dev/termination-log")
LIMIT = 4096
_MESSAGE_LIMIT = 1024


def failure(error: WeightsError) -> dict[str, Any]:
    """The result for an error; its message is printable and short."""
    text = "".join(char if char.isprintable() else " " for char in str(error))
    return {
        "ok": False,
        "condition": error.condition,
        "reason": error.reason,
        "message": text[:_MESSAGE_LIMIT],
    }


def encode(result: dict[str, Any], secret: str = "") -> str:
    """One line of JSON of at most 4096 bytes, without the secret."""
    text = json.dumps(scrubbed(result, secret))
    if len(text) > LIMIT:
        text = json.dumps(scrubbed({**result, "message": result.get("message", "")[:200]}, secret))
    return text


def scrubbed(result: dict[str, Any], secret: str) -> dict[str, Any]:
    """The result with a secret taken out of its texts."""
    return {
        key: scrub(value, secret) if isinstance(value, str) else value
        for key, value in result.items()
    }


def scrub(text: str, secret: str) -> str:
    """A text without the secret."""
    secret = secret.strip()
    return text.replace(secret, "***") if secret else text


def write(text: str, path: Path | None) -> None:
    """To the file given, else to the termination log where there is one."""
    target = path or (TERMINATION_LOG if TERMINATION_LOG.exists() else None)
    if target is not None:
        with guarded(target):
            target.write_text(text)
