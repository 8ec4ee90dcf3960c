"""What the guard counts, and that it changes no answer by counting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from tests.support.guarding import FILE, Engine, ask, load, scope, write_secret

from llama_operator import guard

llama_guard = load()
CHAT = ("POST", "/v1/chat/completions")
JSON = (
    b'{"id":"c","choices":[{"message":{"content":"\\"usage\\": {\\"prompt_tokens\\":999}"}}],'
    b'"usage":{"prompt_tokens":7,"total_tokens":10,"completion_tokens":3,"prompt_tokens_details":null}}'
)
RESPONSES = (
    b'{"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":4},"output_tokens":3}}'
)
STREAM = (
    b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"total_tokens":10,"completion_tokens":3}}\n\n',
    b"data: [DONE]\n\n",
    b"",
)
MESSAGES = (
    b'event: message_start\ndata: {"message":{"usage":{"input_tokens":1,"output_tokens":0}}}\n\n',
    b'event: content_block_delta\ndata: {"delta":{"text":"a"}}\n\n',
    b'event: message_delta\ndata: {"usage":{"input_tokens":7,"output_tokens":3}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    b"",
)
NO_USAGE = (b'data: {"choices":[]}\n\n', b"data: [DONE]\n\n", b"")


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def guarded(tmp_path: Path, engine: Any, entry: str) -> Any:
    write_secret(tmp_path, {entry: "sk-one"}, "1")
    return llama_guard.Guard(engine, llama_guard.Keys(tmp_path))


BEARER = [("authorization", "Bearer sk-one")]


@pytest.mark.parametrize(
    ("name", "chunks", "tokens"),
    [
        ("json", (JSON,), (7, 3)),
        ("long", (b'{"choices":"' + b"x" * 100_000 + b'",' + JSON[1:],), (7, 3)),
        ("responses", (RESPONSES,), (7, 3)),
        ("stream", STREAM, (7, 3)),
        ("messages", MESSAGES, (7, 3)),
        ("no-usage", NO_USAGE, (0, 0)),
        ("said-so", (b'{"content":"\\"usage\\":{\\"prompt_tokens\\":5}"}',), (0, 0)),
        ("no-number", (b'{"usage":{"prompt_tokens":"many"}}',), (0, 0)),
    ],
)
async def test_tokens_are_counted_by_key_and_answers_pass_untouched(
    tmp_path: Path, name: str, chunks: tuple[bytes, ...], tokens: tuple[int, int]
) -> None:
    engine = Engine(chunks=chunks)
    answer = await ask(guarded(tmp_path, engine, name), scope(*CHAT, BEARER))
    assert [id(message) for message in answer] == [id(message) for message in engine.sent]
    told = [value("llama_guard_tokens_total", key=name, kind=k) for k in ("prompt", "completion")]
    assert tuple(told) == tokens
    assert value("llama_guard_requests_total", key=name, code="200") == 1


async def test_the_code_is_the_engines(tmp_path: Path) -> None:
    app = guarded(tmp_path, Engine(status=422), "code")
    await ask(app, scope(*CHAT, BEARER))
    assert value("llama_guard_requests_total", key="code", code="422") == 1


async def test_an_engine_that_fails_is_counted_and_its_exception_passed_on(tmp_path: Path) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(guarded(tmp_path, broken, "broken"), scope(*CHAT, BEARER))
    assert value("llama_guard_requests_total", key="broken", code="500") == 1


async def test_refusals_are_counted_by_reason_and_never_by_what_was_sent(tmp_path: Path) -> None:
    app = guarded(tmp_path, Engine(), "refusing")
    before = {r: value("llama_guard_refused_total", reason=r) for r in llama_guard.REFUSALS}
    for number in range(20):
        await ask(app, scope(*CHAT, [("authorization", f"Bearer sk-{number}")]))
        await ask(app, scope("POST", f"/x{number}"))
    await ask(app, scope(*CHAT))
    await ask(app, scope("PUT", "/health"))
    grown = {
        reason: value("llama_guard_refused_total", reason=reason) - was
        for reason, was in before.items()
    }
    assert grown == {"unknown_key": 20, "route": 20, "no_key": 1, "method": 1, "old_key": 0}
    labels = {s.labels["reason"] for m in REGISTRY.collect() for s in m.samples
              if s.name == "llama_guard_refused_total"}  # fmt: skip
    assert labels <= set(llama_guard.REFUSALS)


async def test_probes_and_scrapes_are_not_counted(tmp_path: Path) -> None:
    app = guarded(tmp_path, Engine(), "quiet")
    await ask(app, scope("GET", "/health"))
    await ask(app, scope("GET", "/metrics", BEARER))
    assert value("llama_guard_requests_total", key="quiet", code="200") == 0


async def test_a_key_that_was_rotated_out_has_one_label_whatever_its_end(tmp_path: Path) -> None:
    app = guarded(tmp_path, Engine(), "team.old-until-29990101T000000Z")
    await ask(app, scope(*CHAT, BEARER))
    assert value("llama_guard_requests_total", key="team.old", code="200") == 1


def test_with_several_servers_in_one_pod_the_counts_are_of_all(tmp_path: Path) -> None:
    """vLLM gives PROMETHEUS_MULTIPROC_DIR to its servers, whose metrics then lie in files."""
    code = """
import llama_guard, prometheus_client as p
from prometheus_client import multiprocess
llama_guard.REQUESTS.labels("default", 200).inc()
llama_guard.ENTRIES.set(3)
llama_guard.STALE.set(1)
r = p.CollectorRegistry(); multiprocess.MultiProcessCollector(r)
print(p.generate_latest(r).decode())
"""
    env = {
        **os.environ,
        "PYTHONPATH": str(FILE.parent),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        guard.KEYS_VARIABLE: guard.NO_KEYS,
    }
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
    told = done.stdout.splitlines()
    assert 'llama_guard_requests_total{code="200",key="default"} 2.0' in told
    assert {"llama_guard_keys 3.0", "llama_guard_keys_stale 1.0"} <= set(told)
