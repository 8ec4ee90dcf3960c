"""What an HTTP answer of the API server says besides its body."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

LONGEST_PAUSE = 5.0


def document(response: Any) -> dict[str, Any]:
    """The body as an object; {} where it is none, such as the page of a proxy."""
    try:
        found = json.loads(response.data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def retry_after(text: str) -> float:
    """Seconds to wait before a busy server is asked again."""
    seconds = float(text) if text.isascii() and text.isdigit() else 1.0
    return min(seconds, LONGEST_PAUSE)


def lines(response: Any, *, unended: bool) -> Iterator[bytes]:
    """The lines of a streamed body, without empty ones; a last one without its end if `unended`."""
    rest = b""
    for chunk in response.stream(65536, decode_content=True):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from filter(None, whole)
    if unended and rest:
        yield rest
