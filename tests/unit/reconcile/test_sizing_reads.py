"""How servers are asked for what they count: by a real client, of a real server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.support.builders import deployment

from llama_operator.reconcile import sizing_watch
from llama_operator.reconcile.sizing_watch import ROUND_SECONDS, SizingWatch, page
from llama_operator.runtime.clock import FakeClock

Object = dict[str, Any]
ANSWER = "vllm:kv_cache_usage_perc 0.5\n"


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """Answers, sends elsewhere, fails, never ends, and sends what is no text."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=ANSWER)

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("/metrics")

    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    async def long(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * (sizing_watch.PAGE_BYTES + 1000))

    async def binary(_: web.Request) -> web.Response:
        return web.Response(body=b"\xff\xfe")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    for handler in (elsewhere, silent, long, binary):
        app.router.add_get(f"/{handler.__name__}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def asked(url: str, seconds: float = 60.0) -> str:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as session:
        return await page(session, url)


async def test_a_page_is_read(server: str) -> None:
    assert await asked(f"{server}/metrics") == ANSWER


async def test_nobody_is_followed_elsewhere(server: str) -> None:
    assert await asked(f"{server}/elsewhere") == ""


async def test_what_does_not_answer_tells_nothing(server: str) -> None:
    assert await asked(f"{server}/nowhere") == ""
    assert await asked(f"{server}/silent", 0.2) == ""
    assert await asked("http://127.0.0.1:1/metrics") == ""


async def test_no_page_is_read_without_end(server: str) -> None:
    assert len(await asked(f"{server}/long")) == sizing_watch.PAGE_BYTES
    assert await asked(f"{server}/binary")


class Fleet:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.rounds = 0

    def serving(self) -> list[Object]:
        self.rounds += 1
        return [deployment()]

    def pods_of(self, _kind: str, _namespace: str, _name: str) -> tuple[Object, ...]:
        return ()


async def test_what_is_tried_beside_the_servers_is_not_asked() -> None:
    asked: list[str] = []

    class Tried(Fleet):
        def pods_of(self, _kind: str, _namespace: str, _name: str) -> tuple[Object, ...]:
            return tuple(
                {
                    "metadata": {"uid": ip, "labels": {"app.kubernetes.io/component": component}},
                    "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]},
                }
                for ip, component in (("10.0.0.1", "server"), ("10.0.0.2", "canary"))
            )

    async def page(url: str) -> str:
        asked.append(url)
        return ""

    await SizingWatch(Tried(), FakeClock()).round(page)
    assert asked == ["http://10.0.0.1:8000/metrics"]


@pytest.mark.parametrize(("leads", "rounds"), [(True, 3), (False, 0)])
async def test_once_a_minute_while_it_leads(leads: bool, rounds: int) -> None:
    clock, fleet = FakeClock(), Fleet()
    watch = SizingWatch(fleet, clock, lambda: leads)
    task = asyncio.create_task(watch.run(lambda _: None))
    for _ in range(3):
        await clock.run_for(ROUND_SECONDS - 1, step=1)
        before = fleet.rounds
        await clock.run_for(1, step=1)
        assert fleet.rounds - before == (1 if leads else 0)
    assert fleet.rounds == rounds
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
