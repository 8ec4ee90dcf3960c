"""Real vLLM follows the list of adapters, without a restart and closed to everybody else."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import adapters
from tests.support.guarding import FILE as GUARD
from tests.support.models import tiny
from tests.support.vllm_cpu import Server, serve

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(600)]
SQL, POETRY = "tiny-llama/" + "a" * 16, "tiny-llama/" + "b" * 16


class Volume:
    """What a pod mounts: files, and the list."""

    def __init__(self, root: Path) -> None:
        self.files, self.list = root / "files", root / "list" / "adapters.json"
        self.list.parent.mkdir()
        self.files.mkdir()

    def say(self, places: dict[str, str]) -> None:
        """What is to be loaded."""
        draft = self.list.with_suffix(".new")
        draft.write_text(json.dumps(places))
        draft.replace(self.list)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    return Volume(tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def server(volume: Volume) -> Iterator[Server]:
    adapters.write(volume.files / SQL, seed=1)
    volume.say({"sql": SQL, "broken": "tiny-llama/" + "0" * 16})
    code = f"{GUARD.parent}"
    env = {
        "PYTHONPATH": code,
        "LLAMA_GUARD_KEYS": "none",
        "VLLM_API_KEY": "",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "LLAMA_ADAPTERS_LIST": str(volume.list),
        "LLAMA_ADAPTERS_FILES": str(volume.files),
    }
    args = (
        *("--enable-lora", "--max-loras=2", "--max-lora-rank=8"),
        *("--middleware=llama_adapters.Adapters", "--middleware=llama_guard.Guard"),
    )
    with serve(tiny(), name="base", args=args, env=env) as found:
        yield found


def _ask(server: Server, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}",
        json.dumps(body).encode() if body is not None else None,
        {"Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _models(server: Server) -> set[str]:
    return {model["id"] for model in _ask(server, "GET", "/v1/models")[1]["data"]}


def _answer(server: Server, model: str) -> str:
    body = {"model": model, "prompt": "a b c d", "max_tokens": 16, "temperature": 0}
    status, answer = _ask(server, "POST", "/v1/completions", body)
    assert status == 200, answer
    return str(answer["choices"][0]["text"])


def _until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 90
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def test_what_is_listed_at_the_start_is_loaded_when_the_port_opens(server: Server) -> None:
    log = server.log.read_text()
    assert _models(server) == {"base", "sql"}, log[-3000:]
    assert '"broken": "its files are not on the volume' in log
    assert _answer(server, "sql") != _answer(server, "base")


def test_adapters_come_and_go_without_a_restart(server: Server, volume: Volume) -> None:
    before = _answer(server, "base")
    adapters.write(volume.files / POETRY, seed=2)
    volume.say({"sql": SQL, "poetry": POETRY})
    _until(lambda: _models(server) == {"base", "sql", "poetry"}, "poetry to be loaded")
    assert len({_answer(server, each) for each in ("base", "sql", "poetry")}) == 3
    volume.say({"poetry": SQL})
    _until(lambda: _models(server) == {"base", "poetry"}, "sql to be unloaded")
    said = f'"loaded": {json.dumps({"poetry": SQL})}'
    _until(lambda: said in server.log.read_text(), "another copy of poetry to be loaded")
    volume.say({})
    _until(lambda: _models(server) == {"base"}, "all to be unloaded")
    assert _answer(server, "base") == before
    assert server.process.poll() is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/load_lora_adapter"),
        ("POST", "/v1/unload_lora_adapter"),
        ("POST", "/adapters"),
        ("DELETE", "/adapters/sql"),
    ],
)
def test_the_routes_that_load_are_closed(server: Server, method: str, path: str) -> None:
    body = {"lora_name": "x", "lora_path": "/tmp", "name": "x", "src": "/tmp"}
    assert _ask(server, method, path, body)[0] == 404
    assert "x" not in _models(server)
