"""Which requests reach the engine: those that are named, and with a key if they need one."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.guarding import Engine, ask, load, scope, write_secret
from tests.support.vllm_cpu import routes

from llama_operator import guard, sources

llama_guard = load()
KEY = "sk-0123456789"
BEARER = ("authorization", f"Bearer {KEY}")
PREFLIGHT = (("origin", "https://a.example"), ("access-control-request-method", "POST"))
OPEN = sorted((method, path) for path, methods in llama_guard.OPEN.items() for method in methods)
WITH_KEY = sorted(
    (method, path) for path, methods in llama_guard.WITH_KEY.items() for method in methods
)
RESPONSES = [("GET", "/v1/responses/resp_1"), ("POST", "/v1/responses/resp_1/cancel")]
CLOSED = [
    *("/invocations", "/inference/v1/generate", "/inference/v1/abort_requests", "/abort_requests"),
    *("/scale_elastic_ep", "/is_scaling_elastic_ep", "/adapters", "/adapters/a"),
    *("/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/chat/completions/render"),
    *("/sleep", "/wake_up", "/collective_rpc", "/server_info", "/reset_prefix_cache", "/pause"),
    *("/update_weights", "/start_profile", "/fault_tolerance/apply", "/kv_event_sources"),
    *("/docs", "/redoc", "/openapi.json", "/", "", "/v1", "/v3/anything"),
]
# What another reader of the path might take for a route that is open.
TRICKS = [
    *("//v1/models", "/v1//models", "/v1/models/", "/V1/models", "/v1/Models", "v1/models"),
    *("/health/", "/health/../invocations", "/v1/../invocations", "/./health", "/health;/x"),
    *("/metrics/", "/metrics/../v1/models", "/metricsx", "/health%00", "/health\x00", "/health\n"),
    *("/v1/%6dodels", "/%2e/health", "/v1/models?x", "/v1/models#", "/v1\\models", "/health "),
    *("/v1/responses/", "/v1/responses/a/b", "/v1/responses/../models", "/v1/responses/a\n"),
    *("/v1/responses/%2e%2e", "/v1/responses/ä", "/v1/responses/a/cancel/", "http://h/health"),
]


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def guarded(engine: Engine, tmp_path: Path) -> Any:
    write_secret(tmp_path, {"default": f"{KEY}\n"}, "1")
    return llama_guard.Guard(engine, llama_guard.Keys(tmp_path))


def error(answer: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    start, body = answer
    headers = dict(start["headers"])
    assert headers[b"content-type"] == b"application/json"
    assert int(headers[b"content-length"]) == len(body["body"])
    told = json.loads(body["body"])["error"]
    assert {"message", "type", "param", "code"} == set(told)
    return start["status"], told


@pytest.mark.parametrize(("method", "path"), [*OPEN, ("HEAD", "/health")])
async def test_health_metrics_and_version_are_open(
    guarded: Any, engine: Engine, method: str, path: str
) -> None:
    assert await ask(guarded, scope(method, path)) == engine.sent
    assert len(engine.seen) == 1


def test_nothing_else_is_open() -> None:
    assert {path for _, path in OPEN} == {"/health", "/ping", "/version", "/metrics"}


@pytest.mark.parametrize(("method", "path"), [*WITH_KEY, *RESPONSES, ("HEAD", "/v1/models")])
async def test_a_route_needs_a_key_and_is_passed_on_with_one(
    guarded: Any, engine: Engine, method: str, path: str
) -> None:
    refused = await ask(guarded, scope(method, path))
    assert engine.seen == []
    if method == "WEBSOCKET":
        assert refused == [{"type": "websocket.close", "code": 1008, "reason": "no_key"}]
    else:
        assert refused[0]["status"] == 401
    request = scope(method, path, [BEARER])
    answer = await ask(guarded, request)
    assert engine.seen == [request]
    assert engine.seen[0] is request
    assert answer == engine.sent


@pytest.mark.parametrize("path", [*CLOSED, *TRICKS])
async def test_everything_else_is_closed_even_with_a_key(
    guarded: Any, engine: Engine, path: str
) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS", "HEAD"):
        answer = await ask(guarded, scope(method, path, [BEARER, *PREFLIGHT]))
        assert answer[0]["status"] == 404, method
    await ask(guarded, scope("WEBSOCKET", path, [BEARER]))
    assert engine.seen == []


async def test_a_refusal_is_shaped_as_openais_and_says_what_to_do(guarded: Any) -> None:
    status, told = error(await ask(guarded, scope("POST", "/invocations", [BEARER])))
    assert (status, told["code"]) == (404, "route")
    assert "POST /v1/chat/completions" in told["message"]
    status, told = error(await ask(guarded, scope()))
    assert (status, told["code"]) == (401, "no_key")
    assert "llamactl key show" in told["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/health"), ("DELETE", "/v1/models"), ("GET", "/v1/chat/completions"),
     ("OPTIONS", "/v1/models"), ("WEBSOCKET", "/v1/models"), ("GET", "/v1/realtime"),
     ("WEBSOCKET", "/health"), ("POST", "/v1/responses/a"), ("get", "/health")],
)  # fmt: skip
async def test_a_route_has_its_methods(
    guarded: Any, engine: Engine, method: str, path: str
) -> None:
    answer = await ask(guarded, scope(method, path, [BEARER]))
    assert engine.seen == []
    assert answer[0].get("status", 405) == 405


async def test_of_vllms_own_routes_no_other_answers_without_a_key(
    guarded: Any, engine: Engine
) -> None:
    for method, template in routes.committed():
        path = re.sub(r"\{\w+\}", "a1", template)
        engine.seen.clear()
        answer = await ask(guarded, scope(method, path))
        assert bool(engine.seen) == ((method, path) in OPEN), (method, path)
        assert engine.seen or answer[0].get("status", 401) in (401, 404, 405)


async def test_with_a_key_only_what_users_need(guarded: Any, engine: Engine) -> None:
    for method, template in routes.committed():
        path = re.sub(r"\{\w+\}", "a1", template)
        engine.seen.clear()
        await ask(guarded, scope(method, path, [BEARER]))
        allowed = (method, path) in {*OPEN, *WITH_KEY} or path.startswith("/v1/responses/a1")
        assert bool(engine.seen) == allowed, (method, path)


def test_what_is_let_through_is_there_in_vllm() -> None:
    # Cohere's chat comes with an optional package.
    assert {*OPEN, *WITH_KEY} - set(routes.committed()) == {("POST", "/cohere/v2/chat")}


async def test_without_keys_the_list_of_routes_holds(engine: Engine) -> None:
    app = llama_guard.Guard(engine, None)
    assert await ask(app, scope("POST", "/v1/chat/completions")) == engine.sent
    engine.seen.clear()
    for path in CLOSED:
        assert (await ask(app, scope("POST", path)))[0]["status"] == 404
    assert engine.seen == []


async def test_a_browser_may_ask_what_it_may_send(guarded: Any, engine: Engine) -> None:
    await ask(guarded, scope("OPTIONS", "/v1/chat/completions", PREFLIGHT))
    assert len(engine.seen) == 1
    refused = await ask(guarded, scope("POST", "/v1/chat/completions"))
    assert (b"access-control-allow-origin", b"*") in refused[0]["headers"], "or no page sees why"


async def test_a_root_path_is_read_as_the_router_reads_it(guarded: Any, engine: Engine) -> None:
    assert (await ask(guarded, scope("GET", "/llm/v1/models", root_path="/llm")))[0][
        "status"
    ] == 401
    await ask(guarded, scope("GET", "/llm/v1/models", [BEARER], root_path="/llm"))
    assert len(engine.seen) == 1
    await ask(guarded, scope("GET", "/health", root_path="/heal"))
    assert len(engine.seen) == 2, "no parent of the path"
    # The router looks for /invocations here.
    for path in ("/health/invocations", "/healthinvocations"):
        answer = await ask(guarded, scope("POST", path, [BEARER], root_path="/health"))
        assert answer[0]["status"] == 404


async def test_the_server_starts_and_ends_through_it(guarded: Any, engine: Engine) -> None:
    await ask(guarded, {"type": "lifespan"})
    assert engine.seen == [{"type": "lifespan"}]


async def test_what_is_no_request_reaches_nothing(guarded: Any, engine: Engine) -> None:
    with pytest.raises(KeyError):
        await ask(guarded, {"type": "telnet"})
    assert engine.seen == []


async def test_a_refusal_of_head_has_no_body_and_a_long_path_is_cut(guarded: Any) -> None:
    start, body = await ask(guarded, scope("HEAD", "/v1/models"))
    assert (start["status"], body["body"]) == (401, b"")
    _, told = error(await ask(guarded, scope("GET", "/" + "x" * 5000)))
    assert len(told["message"]) < 500


def test_the_file_stands_alone_and_is_small() -> None:
    carried = sources.carried(guard.FILE)
    tree = ast.parse(carried)
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                     [each.name for each in node.names])
    }  # fmt: skip
    assert names - sys.stdlib_module_names == {"prometheus_client"}
    # It is in the template of each pod; all annotations of an object may take 256 KiB.
    assert len(carried) < 10_000


async def test_a_refusal_follows_the_whole_body_if_that_is_not_large(guarded: Any) -> None:
    parts = iter([b"a" * 1000] * 100)
    await ask(guarded, scope("POST", "/v1/completions"), parts)
    assert list(parts) == [], "a body that lies unread resets the connection"
    parts = iter([b"a" * (1 << 18)] * 100)
    await ask(guarded, scope("POST", "/v1/completions"), parts)
    assert len(list(parts)) == 96, "a megabyte is enough"


async def test_who_asks_before_sending_is_refused_at_once(guarded: Any) -> None:
    parts = iter([b"a"])
    asks = ("expect", "100-continue")
    assert (await ask(guarded, scope("POST", "/v1/completions", [asks]), parts))[0]["status"] == 401
    assert list(parts) == [b"a"]


async def test_a_body_that_does_not_come_is_not_waited_for_long(
    guarded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_guard, "UNREAD_SECONDS", 0.01)
    answer: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        answer.append(message)

    await guarded(scope("POST", "/v1/completions"), asyncio.Event().wait, send)
    assert answer[0]["status"] == 401
