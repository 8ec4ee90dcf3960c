"""The whole way with transformers' own server: real tokens, its routes closed, no other model.

The server without a cluster is tried in tests/integration/test_transformers_server.py.
"""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
import yaml
from tests.e2e.conftest import NAMESPACE, SMOLLM2
from tests.e2e.guarded import status
from tests.support.demo.ask import api_key, forwarded
from tests.support.models import QUESTION
from tests.support.stack import OPERATOR, PROJECT, Stack, wait_for

pytestmark = [pytest.mark.node, pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(600)]
NAME = "smollm2-transformers"
# All that its FastAPI has: read from its openapi.json without the guard, plus FastAPI's own.
ROUTES = [
    *(("POST", f"/v1/{each}") for each in ("chat/completions", "completions", "responses")),
    *(("POST", each) for each in ("/v1/audio/transcriptions", "/load_model", "/reset")),
    *(("GET", each) for each in ("/v1/models", "/docs", "/redoc", "/openapi.json")),
    ("OPTIONS", "/v1/models"),
]


def test_a_real_model_answers_by_transformers(stack: Stack) -> None:
    manifest = yaml.safe_load((PROJECT / "examples" / f"{NAME}.yaml").read_text())
    stack.cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=json.dumps(manifest))
    try:
        ready = ("--for=condition=Ready", "--timeout=300s", f"llama/{NAME}")
        stack.cluster.kubectl("wait", "-n", NAMESPACE, *ready, timeout=310)
        key = api_key(stack.get("secret", f"{NAME}-api-key", NAMESPACE))
        with forwarded(stack.cluster.kubeconfig, f"svc/{NAME}", 8000, NAMESPACE) as port:
            _answers(port, key)
            _no_other_model(port, key)
            _closed(port, key)
        _told(stack)
    finally:
        stack.cluster.kubectl("delete", "llama", NAME, "-n", NAMESPACE)
    wait_for(lambda: not _pods(stack), 120, "the pod to go", every=1)


def _client(port: int, key: str) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"http://127.0.0.1:{port}/v1", api_key=key, timeout=120, max_retries=0
    )


def _answers(port: int, key: str) -> None:
    client = _client(port, key)
    asked: Any = [{"role": "user", "content": QUESTION}]
    chunks: Any = client.chat.completions.create(
        model=SMOLLM2, messages=asked, max_tokens=16, temperature=0, stream=True
    )
    seen = [chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(seen) > 3, "it comes token by token"
    assert "Paris" in "".join(chunk.choices[0].delta.content for chunk in seen)
    assert {chunk.model for chunk in seen} == {SMOLLM2}
    whole = client.completions.create(model=SMOLLM2, prompt="San Francisco is a", max_tokens=8)
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 8
    assert [each.id for each in client.models.list()] == [SMOLLM2]


def _no_other_model(port: int, key: str) -> None:
    client = _client(port, key)
    for other in (f"{SMOLLM2}@main", "gpt2", "/models/SmolLM2-135M-Instruct", "/etc"):
        with pytest.raises(openai.BadRequestError, match="pinned"):
            client.completions.create(model=other, prompt="a", max_tokens=1)
    with pytest.raises(openai.BadRequestError, match="context 2048"):
        client.completions.create(model=SMOLLM2, prompt="a b c d " * 1000, max_tokens=1)


def _closed(port: int, key: str) -> None:
    told = {route: status(port, *route) for route in ROUTES}
    assert set(told.values()) <= {401, 404, 405}, told
    assert status(port, "POST", "/v1/chat/completions", "sk-wrong") == 401
    assert status(port, "GET", "/v1/models", key) == 200
    assert {status(port, "POST", each, key) for each in ("/load_model", "/reset")} == {404}
    assert {status(port, "GET", each) for each in ("/health", "/metrics")} == {200}


def _told(stack: Stack) -> None:
    plan = stack.get("llama", NAME, NAMESPACE)["status"]["plan"]
    assert (plan["gpus"], plan["maxNumSeqs"], plan["maxModelLen"]) == (1, 1, 2048)
    (pod,) = _pods(stack)
    container = pod["spec"]["containers"][0]
    assert container["command"] == ["python3", "-m", "llama_serve"]
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    assert json.loads(container["args"][0])["dtype"] == "bfloat16"
    log = stack.cluster.kubectl("logs", pod["metadata"]["name"], "-n", NAMESPACE)
    assert "llama_serve: transformers 5.19.0" in log, log[-2000:] + stack.log(OPERATOR)[-2000:]


def _pods(stack: Stack) -> list[dict[str, Any]]:
    return stack.list("pods", NAMESPACE, "-l", f"llamactl.dev/deployment={NAME}")
