"""Requests over kept connections, against servers that answer as they should and as they do."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from kubernetes.aio.client import Configuration
from tests.unit.runtime.answering import OK, Served, serving

from llama_operator.runtime import wire
from llama_operator.runtime.errors import TransportError
from llama_operator.runtime.pool import Pool


async def ask(pool: Pool, body: bytes = b"", seconds: float = 2.0) -> wire.Answer:
    return await pool.request("PATCH", "/a?b=c", {"Accept": "x/y"}, body, seconds)


async def test_a_request_is_sent_whole_and_one_connection_serves_many() -> None:
    served = Served([OK])
    async with serving(served) as pool:
        answers = [await ask(pool, b"[1]"), await ask(pool)]
    assert [(each.status, each.data, each.header(b"retry-after")) for each in answers] == [
        (200, b"{}", "7")
    ] * 2
    first, second = served.requests
    assert first.startswith(b"PATCH /base/a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nUser-Agent: someone\r\nAccept: x/y\r\nContent-Length: 3\r\n\r\n[1]" in first
    assert b"Content-Length" not in second
    assert served.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        [OK[:20], OK[20:50], OK[50:]],
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
            b"1\r\n}\r\n0\r\n\r\n",
        ],
        [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK],
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{", b"}"],
        [b"HTTP/1.0 200 OK\r\nX: close\r\n\r\n{}"],
    ],
    ids=["in pieces", "chunked", "announced", "to the end", "of 1.0"],
)
async def test_an_answer_is_read_to_its_end_however_that_is_told(answer: list[bytes]) -> None:
    async with serving(Served(answer)) as pool:
        for _ in range(2):
            found = await ask(pool)
            assert (found.status, found.data) == (200, b"{}")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "closed the connection"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz close"], "not HTTP"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}close"], "closed the connection"),
        ([b"SSH-2.0-close\r\n"], "not HTTP"),
    ],
    ids=["nothing", "torn chunk", "too short", "another protocol"],
)
async def test_what_is_not_a_whole_answer_is_an_error(
    answer: list[bytes] | None, said: str
) -> None:
    async with serving(Served(answer)) as pool:
        with pytest.raises(OSError, match=said):
            await ask(pool)


async def test_what_comes_unasked_is_nobodys_answer() -> None:
    """An answer that is followed by another: the next request must not be given that one."""
    other = OK.replace(b"200", b"500")
    served = Served([OK, other], [OK])
    async with serving(served) as pool:
        assert (await ask(pool)).status == 200
        await asyncio.sleep(0.05)
        assert (await ask(pool)).status == 200
    assert served.connections == 2


async def test_whoever_does_not_wait_leaves_no_answer_to_others() -> None:
    served = Served([OK.replace(b"200", b"500")], [OK], hold=True)
    async with serving(served) as pool:
        with pytest.raises(TimeoutError):
            await ask(pool, seconds=0.05)
        served.go.set()
        assert (await ask(pool)).status == 200
    assert served.connections == 2


async def test_old_connections_are_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server closes idle ones at some time, and whoever sends at that moment gets no answer."""
    served = Served([OK])
    async with serving(served) as pool:
        await ask(pool)
        monkeypatch.setattr(wire, "KEPT_SECONDS", 0.0)
        await ask(pool)
    assert served.connections == 2


async def test_requests_beyond_the_limit_wait_for_a_connection() -> None:
    served = Served([OK], hold=True)
    async with serving(served, connection_pool_maxsize=2) as pool:
        asked = [asyncio.ensure_future(ask(pool)) for _ in range(5)]
        await asyncio.sleep(0.1)
        assert len(served.requests) == 2
        served.go.set()
        assert {each.status for each in await asyncio.gather(*asked)} == {200}
    assert served.connections == 2


async def fails_once_closed(pool: Pool, after: float) -> None:
    asked = asyncio.ensure_future(ask(pool))
    await asyncio.sleep(after)
    pool.close()
    with pytest.raises(OSError, match="closed"):
        await asked


async def test_a_pool_that_is_closed_fails_what_is_in_flight() -> None:
    served = Served([OK], hold=True)
    async with serving(served) as pool:
        await fails_once_closed(pool, after=0.05)
        served.go.set()


async def test_a_pool_that_is_closed_sends_nothing_of_what_is_connecting() -> None:
    """A lease that was lost: the successor starts when nothing here can still write."""
    served = Served([OK])
    async with serving(served) as pool:
        await fails_once_closed(pool, after=0)
        await asyncio.sleep(0.05)
    assert not served.requests


async def test_nobody_listens() -> None:
    pool = Pool(Configuration(host="http://127.0.0.1:9"), ssl.create_default_context(), "someone")
    with pytest.raises(OSError, match="Connect call failed"):
        await ask(pool)


@pytest.mark.parametrize("host", ["", "127.0.0.1", "ftp://a", "http://"])
def test_what_is_no_address_is_told(host: str) -> None:
    configuration = Configuration(host="http://a")
    configuration.host = host
    with pytest.raises(TransportError, match="not an http or https address"):
        Pool(configuration, ssl.create_default_context(), "someone")
