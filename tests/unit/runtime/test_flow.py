"""Answers that come in pieces: each piece once, an end that is told from a cut, limits of time."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from tests.unit.runtime.answering import Served, serving
from tests.unit.runtime.helpers import eventually

from llama_operator.runtime import flow as module
from llama_operator.runtime.flow import Flow
from llama_operator.runtime.pool import Pool
from llama_operator.runtime.wire import Limits

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNBOUNDED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def opened(pool: Pool, seconds: float = 2.0, idle: float = 2.0, total: float = 5.0) -> Flow:
    return await pool.open("/w", {}, Limits(seconds, idle, total))


async def read(stream: Flow) -> bytes:
    return b"".join([piece async for piece in stream.pieces()])


@pytest.mark.parametrize(
    "answer",
    [
        [CHUNKED, chunk(b"one\ntw"), chunk(b"o\n"), LAST],
        [CHUNKED + chunk(b"one\ntwo\n") + LAST],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n", CHUNKED, chunk(b"one\n"), chunk(b"two\n") + LAST],
        [UNBOUNDED, b"one\n", b"two\n"],
    ],
)
async def test_pieces_come_once_each_and_end_where_the_server_ends_them(
    answer: list[bytes],
) -> None:
    async with serving(Served(answer)) as pool:
        stream = await opened(pool)
        assert stream.status == 200
        assert await read(stream) == b"one\ntwo\n"


async def test_what_came_before_a_cut_is_read_and_the_cut_is_an_error() -> None:
    server = Served([CHUNKED, chunk(b"one\n"), b"5\r\nclose"])
    async with serving(server) as pool:
        stream, seen = await opened(pool), b""
        with pytest.raises(ConnectionResetError):
            async for piece in stream.pieces():
                seen += piece
        assert seen == b"one\nclose"


async def test_what_is_not_http_is_an_error() -> None:
    async with serving(Served([CHUNKED, b"no length\r\n"])) as pool:
        with pytest.raises(ConnectionError, match="not HTTP"):
            await read(await opened(pool))


async def test_a_refusal_is_whole_and_nothing_flows() -> None:
    refusal = b"HTTP/1.1 410 Gone\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(Served([refusal, chunk(b"go"), chunk(b"ne") + LAST])) as pool:
        stream = await opened(pool)
        assert (stream.status, stream.answer.data) == (410, b"gone")


async def test_silence_ends_it_counted_from_the_last_piece() -> None:
    async with serving(Served([CHUNKED, *[chunk(b".")] * 30])) as pool:
        stream, began, seen = await opened(pool, idle=0.1), time.monotonic(), b""
        with pytest.raises(TimeoutError):
            async for piece in stream.pieces():
                seen += piece
        assert seen == b"." * 30
        assert time.monotonic() - began > 0.25  # 30 pieces, 5 ms apart, and then silence


async def test_what_waits_while_nobody_reads_is_no_silence() -> None:
    async with serving(Served([CHUNKED, chunk(b"one"), chunk(b"two"), LAST])) as pool:
        stream, seen = await opened(pool, idle=0.1), []
        async for piece in stream.pieces():
            seen.append(piece)
            time.sleep(0.3)  # noqa: ASYNC251 - as a loop that is busy, or a process that is stopped
        assert b"".join(seen) == b"onetwo"


async def test_no_stream_lasts_beyond_its_time_however_much_it_says() -> None:
    async with serving(Served([CHUNKED, *[chunk(b".")] * 400])) as pool:
        stream = await opened(pool, total=0.2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await read(stream)
        assert stream._over


async def test_an_answer_that_does_not_begin_is_not_waited_for() -> None:
    async with serving(Served([CHUNKED], hold=True)) as pool:
        with pytest.raises(TimeoutError):
            await opened(pool, seconds=0.05)


async def test_a_pool_that_is_closed_ends_what_flows() -> None:
    async with serving(Served([CHUNKED, chunk(b".")])) as pool:
        reading = asyncio.ensure_future(read(await opened(pool)))
        await asyncio.sleep(0.02)
        pool.close()
        with pytest.raises(ConnectionError):
            await reading


async def test_who_does_not_read_keeps_a_bounded_part_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 100_000)
    sent: list[int] = []

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(CHUNKED)
            for _ in range(400):
                writer.write(chunk(b"x" * 50_000))
                await writer.drain()
                sent.append(50_000)
            writer.write(LAST)
            await writer.drain()

    async with serving(pour) as pool:
        stream = await opened(pool)
        await eventually(lambda: stream._paused)
        await asyncio.sleep(0.1)
        held = sum(map(len, stream._pieces))
        assert 100_000 < held < 1_000_000
        assert sum(sent) < 20_000_000
        assert len(await read(stream)) == 20_000_000
