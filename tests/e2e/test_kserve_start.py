"""Real vLLM, started as behind KServe: without the variable by which Python would find the guard."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.support.builders import serving
from tests.support.guarding import write_secret
from tests.support.models import tiny
from tests.support.vllm_cpu import Server, serve

from llama_operator import guard, sources, warmup
from llama_operator.render import revision

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(400)]
KEY = "sk-behind-kserve"


def test_the_guard_stands_before_vllm(tmp_path: Path) -> None:
    code, keys = tmp_path / "code", tmp_path / "keys"
    code.mkdir()
    for file in (guard.FILE, warmup.FILE):
        (code / file.name).write_text(sources.carried(file))
    write_secret(keys, {"default": KEY}, "first")
    (engine,) = revision.template(serving(backend="kserve"))["spec"]["containers"]
    assert all(each["name"] != "PYTHONPATH" for each in engine["env"])
    program = [word.replace(guard.CODE_DIR, str(code)) for word in engine["command"]]
    middleware = [each for each in engine["args"] if each.startswith("--middleware")]
    env = {guard.KEYS_VARIABLE: str(keys), "VLLM_API_KEY": ""}
    with serve(tiny(), name="tiny", args=middleware, env=env, program=program) as server:
        assert _status(server, "") == 401
        assert _status(server, KEY) == 200


def _status(server: Server, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/v1/models", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
