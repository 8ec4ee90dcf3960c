"""The canary: one token when nobody asks, and the truth on /health when there is no answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from prometheus_client import REGISTRY
from tests.support.guarding import ask, scope
from tests.support.modules import loaded

from llama_operator import guard

FILE = guard.CANARY_FILE
Object = dict[str, Any]


def load() -> Any:
    return loaded("llama_canary_tested", FILE)


llama_canary = load()
HEALTH, CHAT = ("GET", "/health"), ("POST", "/v1/chat/completions")


class Engine:
    """Answers /health always, as vLLM does, and requests as it is told to."""

    def __init__(self) -> None:
        self.status, self.hangs, self.raises = 200, False, False
        self.asked: list[Object] = []

    async def __call__(self, scope: Object, receive: Any, send: Any) -> None:
        code = 200
        if scope["path"] != "/health":
            body = (await receive()).get("body") or b"{}"
            self.asked.append({"path": scope["path"], **json.loads(body)})
            if self.hangs:
                await asyncio.Event().wait()
            if self.raises:
                raise RuntimeError("engine dead")
            code = self.status
        await send({"type": "http.response.start", "status": code, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1000.0]
    monkeypatch.setattr(llama_canary, "monotonic", lambda: clock[0])
    monkeypatch.setattr(llama_canary, "WITHIN_SECONDS", 0.05)
    monkeypatch.setenv("LLAMA_CANARY_MODEL", "llama")
    return clock


async def health(canary: Any) -> int:
    answer = await ask(canary, scope(*HEALTH))
    for _ in range(3):
        await asyncio.sleep(0)
    return int(answer[0]["status"])


async def quiet(canary: Any, now: list[float]) -> int:
    """A look of a probe after nobody has asked for long, and the one that is next."""
    now[0] += llama_canary.EVERY_SECONDS + 1
    await health(canary)
    await asyncio.sleep(0.1)
    return await health(canary)


async def test_one_token_is_asked_for_when_nobody_asks_and_no_more_often(now: list[float]) -> None:
    engine = Engine()
    canary = llama_canary.Canary(engine)
    before = REGISTRY.get_sample_value("llama_canary_requests_total") or 0
    assert await health(canary) == 200
    assert engine.asked == []
    assert await quiet(canary, now) == 200
    for _ in range(5):
        assert await health(canary) == 200
    asked = {"path": "/v1/completions", "model": "llama", "prompt": "a", "max_tokens": 1}
    assert engine.asked == [asked]
    assert REGISTRY.get_sample_value("llama_canary_requests_total") == before + 1


async def test_who_is_asked_by_others_needs_no_canary(now: list[float]) -> None:
    engine = Engine()
    canary = llama_canary.Canary(engine)
    now[0] += llama_canary.EVERY_SECONDS + 1
    await ask(canary, scope(*CHAT))
    await health(canary)
    assert [each["path"] for each in engine.asked] == ["/v1/chat/completions"]


async def test_a_request_that_runs_is_the_canary(now: list[float]) -> None:
    engine = Engine()
    engine.hangs = True
    canary = llama_canary.Canary(engine)
    running = asyncio.ensure_future(ask(canary, scope(*CHAT)))
    await asyncio.sleep(0)
    now[0] += 10 * llama_canary.EVERY_SECONDS
    assert await health(canary) == 200
    assert len(engine.asked) == 1
    running.cancel()


@pytest.mark.parametrize("fault", ["status", "hangs", "raises"])
async def test_a_canary_without_an_answer_makes_the_server_unwell_until_one_has_it(
    now: list[float], fault: str
) -> None:
    engine = Engine()
    canary = llama_canary.Canary(engine)
    setattr(engine, fault, {"status": 500}.get(fault, True))
    assert await quiet(canary, now) == 503
    assert REGISTRY.get_sample_value("llama_canary_failing") == 1
    engine.status, engine.hangs, engine.raises = 200, False, False
    await asyncio.sleep(0.1)
    assert await quiet(canary, now) == 200
    assert REGISTRY.get_sample_value("llama_canary_failing") == 0


async def test_a_request_that_fails_is_no_proof_of_life(now: list[float]) -> None:
    engine = Engine()
    engine.status = 500
    canary = llama_canary.Canary(engine)
    now[0] += llama_canary.EVERY_SECONDS + 1
    await ask(canary, scope(*CHAT))
    await health(canary)
    await asyncio.sleep(0.1)
    assert await health(canary) == 503
