"""The activator as a whole: who waits, who is answered, and how often."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.unit.activator.world import KEY, running
from tests.unit.runtime.fake_api import FakeApi, Fault
from tests.unit.runtime.helpers import eventually

from llama_operator.activator import proxy, rest


async def test_a_hundred_requests_to_no_server_are_each_answered_once(
    server: FakeApi, tmp_path: Path
) -> None:
    async with running(server, tmp_path) as world:
        asking = [asyncio.create_task(world.ask(str(each))) for each in range(100)]
        await world.held(100)
        await eventually(lambda: world.replicas == 1)
        world.ready(world.engine.address)
        answers = await asyncio.gather(*asking)
        assert [json.loads(body)["id"] for _, body in answers] == [str(n) for n in range(100)]
        assert {status for status, _ in answers} == {200}
        assert set(world.engine.asked.values()) == {1} and len(world.engine.asked) == 100
        assert (world.activator.room.held, world.activator.room.bytes) == (0, 0)
        metrics = await world.admin("/metrics")
        assert 'llama_activator_requests_total{outcome="forwarded"} 100.0' in metrics
        assert 'llama_activator_scalings_total{direction="up"} 1.0' in metrics


async def test_what_is_sent_arrives_whole_and_unread(server: FakeApi, tmp_path: Path) -> None:
    async with running(server, tmp_path) as world:
        body = bytes(range(256)) * 4096
        asking = asyncio.create_task(
            world.ask(path="/v1/a%2Fb?x=1&y=%20", data=body, headers={"X-Odd": "a, b"})
        )
        await world.held(1)
        world.ready(world.engine.address)
        status, _ = await asking
        assert status == 200
        await world.ask("2", data=_chunks(body))  # while a server is there, as it comes
        assert world.engine.bodies == [body, body]
        seen = world.engine.seen[0]
        assert seen.raw_path == "/v1/a%2Fb?x=1&y=%20"
        assert seen.headers["Authorization"] == KEY["Authorization"]
        assert seen.headers["X-Odd"] == "a, b"
        assert seen.headers["Host"] == f"127.0.0.1:{world.activator.port}"


async def _chunks(body: bytes) -> Any:
    for start in range(0, len(body), 100_000):
        yield body[start : start + 100_000]


@pytest.mark.parametrize(
    "given", [{}, {"Authorization": "Bearer sk-wrong"}, {"Authorization": "x"}]
)
async def test_a_stranger_starts_nothing(
    server: FakeApi, tmp_path: Path, given: dict[str, str]
) -> None:
    async with running(server, tmp_path) as world:
        async with world.session.post(f"{world.url}/v1/chat", headers=given) as answer:
            assert answer.status == 401
        assert world.replicas == 0 and world.activator.room.held == 0
        # Where there is a server it judges by itself: what is asked of it is passed on unread.
        world.ready(world.engine.address)
        await eventually(lambda: world.activator.servers.ready)
        async with world.session.post(f"{world.url}/v1/chat", headers=given) as answer:
            assert answer.status == 200


async def test_a_key_that_is_added_counts_and_one_that_goes_does_not(
    server: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama_operator.activator.keys.FRESH_SECONDS", 0.0)
    async with running(server, tmp_path, hold_timeout=0.1) as world:
        (world.keys / "new").write_text("sk-new\n")
        (world.keys / "default").unlink()
        (world.keys / "..data").mkdir()
        assert (await world.ask(headers={"Authorization": "Bearer sk-new"}))[0] == 503
        assert (await world.ask())[0] == 401


async def test_without_keys_everybody_may_ask(server: FakeApi, tmp_path: Path) -> None:
    async with running(server, tmp_path, keys="", hold_timeout=0.1) as world:
        async with world.session.post(f"{world.url}/v1/chat") as answer:
            assert answer.status == 503
        await eventually(lambda: world.replicas == 1)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health", 200), ("/ping", 200), ("/metrics", 404), ("/tokenize", 404), ("/", 404)],
)
async def test_probes_and_other_paths_start_nothing(
    server: FakeApi, tmp_path: Path, path: str, status: int
) -> None:
    async with running(server, tmp_path) as world:
        async with world.session.get(f"{world.url}{path}", headers=KEY) as answer:
            assert answer.status == status
        assert world.replicas == 0


async def test_places_bytes_and_time_have_an_end(server: FakeApi, tmp_path: Path) -> None:
    limits = {"max_held": 2, "max_held_bytes": 150, "max_body_bytes": 100, "hold_timeout": 0.4}
    async with running(server, tmp_path, **limits) as world:
        assert (await world.ask(data=b"x" * 101))[0] == 413
        first = asyncio.create_task(world.ask(data=b"x" * 100))
        await world.held(1)
        full, body = await world.ask(data=b"x" * 60)  # too many bytes together
        assert full == 503 and b"requests wait already" in body
        second = asyncio.create_task(world.ask(data=b"x"))
        await world.held(2)
        async with world.session.post(f"{world.url}/v1/chat", headers=KEY) as answer:
            assert answer.status == 503 and answer.headers["Retry-After"]
        assert [status for status, _ in await asyncio.gather(first, second)] == [503, 503]
        assert (world.activator.room.held, world.activator.room.bytes) == (0, 0)


async def test_a_client_that_goes_frees_its_place_and_its_server(
    server: FakeApi, tmp_path: Path
) -> None:
    async with running(server, tmp_path) as world:
        asking = asyncio.create_task(world.ask())
        await world.held(1)
        asking.cancel()
        await world.held(0)
        world.ready(world.engine.address)
        world.engine.go_on.clear()
        asking = asyncio.create_task(world.ask("2"))
        await eventually(lambda: world.engine.asked["2"])
        asking.cancel()
        await eventually(lambda: world.engine.left == 1)
        assert world.engine.asked == {"2": 1}


async def test_a_stream_comes_as_it_is_sent(server: FakeApi, tmp_path: Path) -> None:
    async with running(server, tmp_path) as world:
        world.engine.go_on.clear()
        asking = asyncio.create_task(
            world.session.post(f"{world.url}/v1/stream", headers=KEY, data=b"{}")
        )
        await world.held(1)
        world.ready(world.engine.address)
        async with await asking as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            # The server waits: nobody has kept the first part back.
            assert await answer.content.readuntil(b"\n\n") == b"data: 0\n\n"
            world.engine.go_on.set()
            assert await answer.read() == b"data: 1\n\ndata: 2\n\n"


async def test_an_answer_that_tears_does_not_end_in_order(server: FakeApi, tmp_path: Path) -> None:
    async with running(server, tmp_path) as world:
        world.ready(world.engine.address)
        await eventually(lambda: world.activator.servers.ready)
        with pytest.raises(aiohttp.ClientPayloadError):
            await world.ask(path="/v1/torn")


async def test_a_server_that_breaks_off_is_not_asked_again(server: FakeApi, tmp_path: Path) -> None:
    async with running(server, tmp_path) as world:
        held = asyncio.create_task(world.ask("held", path="/v1/silent"))
        await world.held(1)
        world.ready(world.engine.address)
        assert (await held)[0] == 502
        assert (await world.ask("warm", path="/v1/silent"))[0] == 502
        assert world.engine.asked == {"held": 1, "warm": 1}


async def test_a_connection_that_is_refused_is_tried_again(
    server: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "AGAIN_SECONDS", 0.01)
    async with running(server, tmp_path) as world:
        asking = asyncio.create_task(world.ask())
        await world.held(1)
        world.ready("127.0.0.1:1")  # a server that has gone by now
        await asyncio.sleep(0.05)
        warm = asyncio.create_task(world.ask("2", data=_chunks(b"y" * 300_000)))
        await asyncio.sleep(0.05)
        assert not asking.done() and not warm.done()
        world.ready(world.engine.address)
        assert [status for status, _ in await asyncio.gather(asking, warm)] == [200, 200]
        assert sorted(len(body) for body in world.engine.bodies) == [2, 300_000]


async def test_the_deployment_is_woken_though_the_api_server_fails_at_first(
    server: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "WAKE_AGAIN_SECONDS", 0.05)
    async with running(server, tmp_path) as world:
        failures = iter([403, 409])
        server.fault = lambda request: (
            Fault(status=next(failures, 0)) if request.method == "PATCH" else None
        )
        asking = asyncio.create_task(world.ask())
        await eventually(lambda: world.replicas == 1)
        world.ready(world.engine.address)
        assert (await asking)[0] == 200


async def test_after_a_while_without_work_it_sleeps(server: FakeApi, tmp_path: Path) -> None:
    async with running(server, tmp_path, idle_after=0.4) as world:
        world.deployment(replicas=1)
        world.engine.running = 1  # a request that came to the server directly
        world.ready(world.engine.address)
        await asyncio.sleep(0.6)
        assert world.replicas == 1 and '"active": 1' in await world.admin("/activity")
        world.engine.running, world.engine.ended = 0, 1
        await eventually(lambda: world.replicas == 0)
        assert '"active": 0' in await world.admin("/activity")
        assert 'scalings_total{direction="down"} 1.0' in await world.admin("/metrics")


@pytest.mark.parametrize("why", ["rolling", "minimum", "no metrics", "paused"])
async def test_it_is_not_put_to_sleep(server: FakeApi, tmp_path: Path, why: str) -> None:
    async with running(server, tmp_path, idle_after=0.1) as world:
        changes: dict[str, Any] = {
            "minimum": {"autoscaling": {"minReplicas": 1}},
            "paused": {"paused": True},
        }
        world.deployment(replicas=2, **changes.get(why, {}))
        if why == "rolling":
            found = server.get(
                "/apis/llamactl.dev/v1alpha1/namespaces/default/llamadeployments/web"
            )
            assert found is not None
            found["status"]["conditions"][0]["reason"] = "RollingOut"
            server.put("/apis/llamactl.dev/v1alpha1/namespaces/default/llamadeployments", found)
        if why == "no metrics":
            world.ready("127.0.0.1:1")
        else:
            world.ready(world.engine.address)
        await asyncio.sleep(0.3)
        assert world.replicas == 2


async def test_keda_is_told_of_replicas_and_of_those_who_wait(
    server: FakeApi, tmp_path: Path
) -> None:
    async with running(server, tmp_path) as world:
        assert '"active": 0' in await world.admin("/activity")
        world.deployment(replicas=1)  # somebody else has asked for it; nothing answers yet
        assert '"active": 1' in await world.admin("/activity")
        world.deployment(replicas=0)
        server.fault = lambda request: Fault(status=403) if request.method == "PATCH" else None
        asking = asyncio.create_task(world.ask())
        await world.held(1)
        assert '"active": 1' in await world.admin("/activity")
        asking.cancel()
        server.fault = lambda request: Fault(status=403) if request.method == "GET" else None
        await world.held(0)
        assert '"code": 503' in await world.admin("/activity")


async def test_those_who_wait_are_told_when_it_ends(server: FakeApi, tmp_path: Path) -> None:
    async with running(server, tmp_path, drain_timeout=3.5) as world:
        world.ready(world.engine.address)
        await eventually(lambda: world.activator.servers.ready)
        world.engine.go_on.clear()
        answered = asyncio.create_task(world.ask("in hand"))
        await eventually(lambda: world.engine.asked["in hand"])
        world.ready()
        await eventually(lambda: not world.activator.servers.ready)
        waiting = asyncio.create_task(world.ask("waits"))
        await world.held(1)
        world.stop.set()
        await asyncio.sleep(0.2)
        assert not waiting.done()
        world.engine.go_on.set()
        assert (await answered)[0] == 200
        status, body = await waiting
        assert status == 503 and b"no server was ready" in body
