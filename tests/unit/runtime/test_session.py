"""The same verbs through a proxy, which is the official package's part."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from kubernetes.aio.client import Configuration
from tests.unit.runtime.fake_api import FakeApi
from tests.unit.runtime.helpers import THINGS, THINGS_PATH

from llama_operator.runtime import Api, Gone, NotFound, TransportError


class Proxy:
    """Passes on what names its server in full, as a request to a proxy does."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            method, url, rest = head.split(b" ", 2)
            self.asked.append(url.decode())
            host, _, path = url.removeprefix(b"http://").partition(b"/")
            name, _, port = host.decode().partition(":")
            server, upstream = await asyncio.open_connection(name, int(port))
            upstream.write(b" ".join([method, b"/" + path, rest]))
            await asyncio.gather(_pipe(reader, upstream), _pipe(server, writer))


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


@contextlib.asynccontextmanager
async def proxied(server: FakeApi) -> AsyncIterator[tuple[Api, Proxy]]:
    proxy = Proxy()
    listening = await asyncio.start_server(proxy, "127.0.0.1", 0)
    configuration = Configuration(host=f"http://127.0.0.1:{server.port}")
    configuration.proxy = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    api = Api(configuration, seconds=2.0)
    try:
        yield api, proxy
    finally:
        await api.close()
        listening.close()


async def test_requests_and_refusals_come_through_a_proxy(server: FakeApi) -> None:
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "spec": {"size": 1}}
    thing["metadata"] = {"name": "a", "namespace": "ns"}
    async with proxied(server) as (api, proxy):
        made = await api.apply(THINGS, thing, manager="me")
        assert await api.get(THINGS, "ns", "a") == made
        with pytest.raises(NotFound):
            await api.get(THINGS, "ns", "b")
    assert proxy.asked[0].startswith(f"http://127.0.0.1:{server.port}{THINGS_PATH}/a?")


async def test_a_watch_comes_through_a_proxy_until_it_is_closed(server: FakeApi) -> None:
    server.put(THINGS_PATH, name="a")
    async with proxied(server) as (api, _):
        events = api.watch(THINGS, initial_events=True)
        first = await anext(events)
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
        await events.aclose()


async def test_a_watch_that_is_refused_is_an_error(server: FakeApi) -> None:
    server.put(THINGS_PATH, name="a")
    server.oldest = server.version
    async with proxied(server) as (api, _):
        with pytest.raises(Gone):
            await anext(api.watch(THINGS, resource_version="1"))


async def test_a_proxy_that_is_not_there_is_a_transport_error(server: FakeApi) -> None:
    async with proxied(server) as (api, _):
        api.transport._client.rest_client.proxy = "http://127.0.0.1:9"
        with pytest.raises(TransportError, match="Cannot connect"):
            await api.get(THINGS, "ns", "a")
        with pytest.raises(TransportError, match="Cannot connect"):
            await anext(api.watch(THINGS))
