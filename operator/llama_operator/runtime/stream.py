"""The lines of a watch, whatever the network does to them.

Lines are split here and not by the HTTP library, whose limit of a few MiB is below what one event
may weigh. A line that does not parse, or a stream that ends within one, is a transport failure
and never an event. Decoding yields to the loop, because lease renewal lives on the same one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from .decoding import loads
from .errors import TransportError, from_status
from .transport import Call, Stream, Transport

MARGIN_SECONDS = 15.0
"""How much longer than the server the client waits for the end of a watch."""

IDLE_SECONDS = 240.0
"""Silence after which a watch counts as dead.

Twice the longest pause between bookmarks: of a 1.36 server, the first came two minutes after a
watch was opened, the next ones each minute (measured on three idle watches).
"""

MAX_LINE = 64 << 20
YIELD_BYTES = 256 << 10


class SilenceError(TransportError):
    """Nothing came for too long on a connection that looks alive."""


async def watch_lines(
    transport: Transport,
    call: Call,
    idle: float = IDLE_SECONDS,
    opened: Callable[[], None] = lambda: None,
) -> AsyncGenerator[dict[str, Any], None]:
    """Open a watch and yield its events; see Api.watch for what it raises."""
    total = float(call.query["timeoutSeconds"]) + MARGIN_SECONDS
    stream = await transport.open(call, total, idle)
    burst = 0
    try:
        opened()
        async for lines in _lines(transport, stream, call):
            for line in lines:
                if line.strip():
                    yield _event(line, call.path)
                burst += len(line)
                if burst > YIELD_BYTES:
                    burst = 0
                    await asyncio.sleep(0)
    finally:
        stream.close()


async def _lines(transport: Transport, stream: Stream, call: Call) -> AsyncIterator[list[bytes]]:
    """The lines that are whole, as they come."""
    rest = b""
    try:
        async for piece in stream.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            if len(rest) > MAX_LINE:
                raise TransportError(f"watch {call.path}: a line of more than {MAX_LINE} bytes")
            if whole:
                yield whole
    except TimeoutError as error:
        transport.lost(call, error)
        raise SilenceError(f"watch {call.path}: nothing received for too long") from error
    except OSError as error:
        raise transport.lost(call, error) from error
    if rest.strip():
        raise TransportError(f"watch {call.path}: the stream ended within an event")


def _event(line: bytes, path: str) -> dict[str, Any]:
    try:
        event = loads(line)
        kind, obj = event["type"], event["object"]
    except (ValueError, KeyError, TypeError) as error:
        raise TransportError(f"watch {path}: torn event: {error}") from error
    if kind == "ERROR":
        raise from_status(obj)
    result: dict[str, Any] = event
    return result
