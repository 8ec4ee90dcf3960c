"""The warm-up request: /health tells of a server only once it has answered one."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from tests.support.modules import loaded

from llama_operator import warmup

FILE = warmup.FILE
Message = dict[str, Any]


def load() -> Any:
    """The module as an engine has it: by its file's name."""
    return loaded(warmup.MODULE, FILE)


Answer = tuple[int, bytes] | Exception


class Engine:
    """An application whose /health is always well; completions answer as they are told to."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Message, Message]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.was_asked = asyncio.Event()

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            return
        code, body = 200, b""
        if scope["path"] != "/health":
            await self.may_answer.wait()
            self.was_asked.set()
            self.asked.append((scope, json.loads((await receive())["body"])))
            code, body = self._next()
        await send({"type": "http.response.start", "status": code, "headers": []})
        await send({"type": "http.response.body", "body": body})

    def _next(self) -> tuple[int, bytes]:
        answer = self.answers.pop(0) if self.answers else (200, b'data: {"choices": []}\n\n')
        if isinstance(answer, Exception):
            raise answer
        return answer


async def health(app: Any, path: str = "/health") -> int:
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "app": "the app"}
    told: list[Message] = []

    async def send(message: Message) -> None:
        told.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}"}

    await app(scope, receive, send)
    return int(told[0]["status"])


async def test_health_waits_for_the_first_answer_and_asks_once() -> None:
    engine = Engine()
    app = load().WarmUp(engine)
    assert [await health(app) for _ in range(3)] == [200, 200, 200]
    ((scope, body),) = engine.asked
    assert (scope["method"], scope["path"], scope["app"]) == ("POST", "/v1/completions", "the app")
    assert (body["prompt"], body["max_tokens"], "model" in body) == ("Hello", 2, False)
    assert dict(scope["headers"])[b"content-length"] == str(len(json.dumps(body))).encode()


async def test_a_slow_first_answer_is_told_as_not_yet_and_not_asked_for_again() -> None:
    engine, module = Engine(), load()
    module.PATIENCE_SECONDS = 0.01
    engine.may_answer.clear()
    app = module.WarmUp(engine)
    assert [await health(app), await health(app)] == [503, 503]
    engine.may_answer.set()
    module.PATIENCE_SECONDS = 60.0
    assert await health(app) == 200
    assert len(engine.asked) == 1


@pytest.mark.parametrize(
    "failure",
    [
        (500, b"{}"),
        (200, b'data: {"error": {"message": "EngineDeadError"}}\n\n'),
        RuntimeError("no engine"),
    ],
)
async def test_a_failed_first_request_is_tried_again_and_meanwhile_it_is_not_well(
    failure: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(failure)
    app = load().WarmUp(engine)
    assert await health(app) == 503
    assert "llama_warm_up: the first request" in caplog.text
    assert await health(app) == 200
    assert len(engine.asked) == 2


async def test_a_model_that_is_not_asked_for_text_is_well_without() -> None:
    engine = Engine((404, b"{}"))
    app = load().WarmUp(engine)
    assert [await health(app), await health(app)] == [200, 200]
    assert len(engine.asked) == 1


async def test_it_begins_when_the_server_has_started_before_any_probe(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    engine = Engine()
    app = load().WarmUp(engine)

    async def send(_: Message) -> None:
        return

    await app({"type": "lifespan", "app": "it"}, send, send)
    await asyncio.wait_for(engine.was_asked.wait(), 60)
    assert await health(app) == 200
    assert len(engine.asked) == 1
    assert "llama_warm_up: the first token came after 0.00 s" in caplog.text


async def test_other_routes_do_not_wait() -> None:
    engine = Engine()
    assert await health(load().WarmUp(engine), "/metrics") == 200
    assert len(engine.asked) == 1  # the route itself
    assert engine.asked[0][0]["method"] == "GET"
