"""Server-sent events, as far as the OpenAI protocol uses them.

Lines are joined per event as the specification says (several `data:` lines, CR LF, comments),
since a proxy in between may reshape what vLLM sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

DONE = "[DONE]"


def events(lines: Iterable[bytes]) -> Iterator[str]:
    """The data of each event until the stream ends or says [DONE]."""
    parts: list[str] = []
    for raw in lines:
        line = raw.decode("utf-8", errors="replace").rstrip("\r\n")
        if line.startswith("data:"):
            parts.append(line[5:].removeprefix(" "))
        elif not line and parts:
            text, parts = "\n".join(parts), []
            if text == DONE:
                return
            yield text
    if parts and parts != [DONE]:
        yield "\n".join(parts)
