"""transformers' real server behind the guard: one model, one name, no route but those named."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.models import tiny
from tests.support.transformers_cpu import install
from tests.support.transformers_cpu.serve import EndedError, serve

from llama_operator.diagnose.judge import diagnose

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]
NAME, KEY, CONTEXT = "test/tiny-llama", "sk-integration", 64
# What its own application would answer, were nothing before it.
ALL_ROUTES = """
from unittest.mock import MagicMock as M
from transformers.cli.serving.server import build_server
app = build_server(M(), M(), M(), M(), M(), M())
print(sorted(f"{m} {p}" for p, each in app.openapi()["paths"].items() for m in each))
"""


class Answer(NamedTuple):
    status: int
    text: str


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "default").write_text(KEY)
    return folder


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[int]:
    log = tmp_path_factory.mktemp("server") / "log"
    with serve(tiny(), NAME, keys, CONTEXT, log) as found:
        yield found
    assert "Application shutdown complete" in log.read_text()


def ask(port: int, method: str, path: str, body: Any = None, key: str = KEY) -> Answer:
    headers = {"Content-Type": "application/json"} | (
        {"Authorization": f"Bearer {key}"} if key else {}
    )
    data = None if body is None else json.dumps(body).encode()
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own server
            return Answer(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode())


def complete(port: int, **fields: Any) -> Answer:
    return ask(port, "POST", "/v1/completions", {"prompt": "a", "max_tokens": 3, **fields})


def test_tokens_come_under_the_name_of_clients(port: int) -> None:
    answer = complete(port, model=NAME)
    assert answer.status == 200, answer
    told = json.loads(answer.text)
    assert told["model"] == NAME
    assert told["usage"]["completion_tokens"] == 3
    chunks = complete(port, model=NAME, stream=True).text.split("\n\n")
    assert len([each for each in chunks if '"text"' in each]) >= 1
    assert complete(port).status == 200, "without a name it is the only model"
    (model,) = json.loads(ask(port, "GET", "/v1/models").text)["data"]
    assert model["id"] == NAME


@pytest.mark.parametrize(
    "other", ["gpt2", f"{NAME}@main", f"{NAME}:x.gguf", "/etc", ".", "", "test/tiny-llama "]
)
def test_no_client_loads_another_model(port: int, other: str) -> None:
    for path, body in (
        ("/v1/completions", {"prompt": "a"}),
        ("/v1/responses", {"input": "a"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
    ):
        answer = ask(port, "POST", path, {"model": other, **body})
        assert answer.status == 400, (path, answer)
        assert "pinned" in json.loads(answer.text)["error"]["message"]


def test_every_route_of_it_is_closed_without_a_key(port: int) -> None:
    done = subprocess.run(
        [str(install() / "bin/python"), "-c", ALL_ROUTES],
        capture_output=True,
        text=True,
        check=True,
    )
    routes = [tuple(each.split()) for each in eval(done.stdout)]  # noqa: S307 - our own list
    assert len(routes) >= 8, "openapi.json of the application"
    for method, path in routes:
        told = ask(port, method.upper(), path, {} if method == "post" else None, key="")
        wanted = {200} if path == "/health" else {401, 404, 405}
        assert told.status in wanted, (method, path, told)
    for path in ("/load_model", "/reset", "/v1/audio/transcriptions"):
        assert ask(port, "POST", path, {"model": "gpt2"}).status in (404, 401), path
    assert {ask(port, "GET", each).status for each in ("/docs", "/openapi.json", "/redoc")} == {404}
    assert complete(port, model=NAME).status == 200, "nothing has unloaded the model"
    assert ask(port, "GET", "/v1/models", key="sk-wrong").status == 401


def test_a_refusal_reaches_who_is_still_sending(port: int) -> None:
    body = b"a" * 300_000
    head = f"POST /v1/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}"
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            # A server that closes after the head makes the second of these fail, and proxies with it.
            for part in (f"{head}\r\n\r\n".encode(), body[:1000], body[1000:]):
                connection.sendall(part)
                time.sleep(0.05)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 401")
        assert b"needs an API key" in answer


def test_prompt_and_answer_stay_within_the_context(port: int) -> None:
    told = complete(port, model=NAME, prompt="a " * 3 * CONTEXT)
    assert (told.status, f"context {CONTEXT}" in told.text) == (400, True), told
    usage = json.loads(complete(port, model=NAME, max_tokens=10_000).text)["usage"]
    assert usage["total_tokens"] <= CONTEXT


def test_settings_of_the_engine_and_templates_are_no_clients_to_bring(port: int) -> None:
    assert complete(port, model=NAME, generation_config='{"num_beams": 99}').status == 400
    chat = {"model": NAME, "messages": [{"role": "user", "content": "a"}]}
    for field in ("chat_template", "tokenize", "return_tensors"):
        told = ask(
            port, "POST", "/v1/chat/completions", {**chat, "chat_template_kwargs": {field: "x"}}
        )
        assert (told.status, field in told.text) == (400, True), told


def test_usage_is_counted_by_key(port: int) -> None:
    complete(port, model=NAME)
    text = ask(port, "GET", "/metrics", key="").text
    assert 'llama_guard_requests_total{code="200",key="default"}' in text
    assert 'llama_guard_tokens_total{key="default",kind="completion"}' in text
    assert KEY not in text


def test_a_model_that_lacks_tensors_is_not_served_with_random_ones(
    tmp_path: Path, keys: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny(), model)
    config = json.loads((model / "config.json").read_text())
    config["num_hidden_layers"] += 1
    (model / "config.json").write_text(json.dumps(config))
    log = tmp_path / "log"
    with pytest.raises(EndedError), serve(model, NAME, keys, CONTEXT, log):
        pass
    assert diagnose(log.read_text().splitlines()).cause == "WeightsMissing"
