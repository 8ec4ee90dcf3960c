"""Bodies: whole, in part, cut, stalled, slow or spoilt."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from aiohttp import web

from tests.support.hub.faults import Fault
from tests.support.hub.record import Request
from tests.support.hub.repository import Blob

_PIECE = 256 << 10
_RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")
PAGE = (
    b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"
)


class _Immediate(web.StreamResponse):
    # sendfile writes past aiohttp's buffer, so the headers must have left before it.
    _send_headers_immediately = True


@dataclass
class Span:
    """Bytes [start, end) of a file, and whether it answers a Range."""

    start: int
    end: int
    partial: bool


def span_of(header: str, size: int) -> Span | None:
    """What a Range header asks for; None when nothing of it exists (416)."""
    match = _RANGE.match(header)
    if not match or match.group(0) == "bytes=-":
        return Span(0, size, False)
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    return Span(start, end, True) if start < size and start < end else None


async def send(
    request: web.Request, blob: Blob, fault: Fault | None, record: Request, headers: dict[str, str]
) -> web.StreamResponse:
    """Send what was asked of a file, through the fault if there is one."""
    kind = fault.kind if fault else ""
    size = fault.after if fault and kind == "shrink" else blob.size
    span = span_of("" if kind == "norange" else record.range, size)
    if span is None:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    response = _head(span, size, headers, ranges=kind != "norange")
    record.status = response.status
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    await _body(request, response, blob, span, fault, record)
    return response


def _head(span: Span, size: int, headers: dict[str, str], *, ranges: bool) -> web.StreamResponse:
    response = _Immediate(status=206 if span.partial else 200, headers=headers)
    response.headers.setdefault("Content-Type", "binary/octet-stream")
    if ranges:
        response.headers["Accept-Ranges"] = "bytes"
    response.content_length = span.end - span.start
    if span.partial:
        response.headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size}"
    return response


async def _body(
    request: web.Request,
    response: web.StreamResponse,
    blob: Blob,
    span: Span,
    fault: Fault | None,
    record: Request,
) -> None:
    if fault is None or fault.kind in ("norange", "shrink"):
        await _fast(request, response, blob, span, record)
        return
    limit = fault.after if fault.kind in ("cut", "stall") else span.end - span.start
    await _pieces(
        response, blob, Span(span.start, min(span.end, span.start + limit), True), fault, record
    )
    if span.start + limit < span.end or fault.kind == "stall":
        await _break_off(request, fault)


async def _fast(
    request: web.Request, response: web.StreamResponse, blob: Blob, span: Span, record: Request
) -> None:
    count = span.end - span.start
    if blob.file is None or request.secure or not count:
        await _pieces(response, blob, span, None, record)
        return
    transport = request.transport
    assert transport is not None
    with blob.file.open("rb") as opened:
        await asyncio.get_running_loop().sendfile(transport, opened, span.start, count)
    record.sent += count
    await response.write_eof()


async def _pieces(
    response: web.StreamResponse, blob: Blob, span: Span, fault: Fault | None, record: Request
) -> None:
    step = min(_PIECE, fault.rate // 10 or 1) if fault and fault.rate else _PIECE
    for start in range(span.start, span.end, step):
        data = blob.read(start, min(step, span.end - start))
        if fault and fault.kind == "corrupt" and start == span.start:
            data = bytes([data[0] ^ 1]) + data[1:]
        # Before it leaves: whoever has read it may ask at once what was sent.
        record.sent += len(data)
        await response.write(data)
        if fault and fault.rate:
            await asyncio.sleep(len(data) / fault.rate)


async def _break_off(request: web.Request, fault: Fault) -> None:
    if fault.kind == "stall":
        await asyncio.Event().wait()
    if request.transport is not None:
        request.transport.close()
