"""Real vLLM, started with what the operator renders, sends its traces to a real receiver."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.support.builders import serving
from tests.support.models import tiny
from tests.support.stack import PROJECT, wait_for
from tests.support.vllm_cpu import serve
from tests.support.vllm_cpu.install import install

from llama_operator.render.tracing import tracing_args, tracing_env

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(600)]
# Of vLLM's own Python: ours lacks what it imports.
RECEIVER = PROJECT / "tests/support/vllm_cpu/otlp_receiver.py"
TRACE = "0af7651916cd43dd8448eb211c80319c"
Line = dict[str, Any]


class Receiver:
    """Where it listens, and what it has written."""

    def __init__(self, output: Path) -> None:
        self._output = output

    def ready(self) -> bool:
        """Whether it has told its ports."""
        return "\n" in self._output.read_text()

    def endpoint(self, how: str) -> str:
        """The endpoint as a spec names it."""
        http, remote = json.loads(self._output.read_text().splitlines()[0])
        over_http = f"http://127.0.0.1:{http}/v1/traces"
        return over_http if how == "http" else f"http://127.0.0.1:{remote}"

    def requests(self) -> list[Line]:
        """The spans of requests that came."""
        lines = [json.loads(line) for line in self._output.read_text().splitlines()[1:]]
        return [line for line in lines if line["name"] == "llm_request"]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    output = tmp_path / "spans"
    command = [str(install() / "bin/python"), str(RECEIVER)]
    with output.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, cwd=tmp_path)
    try:
        made = Receiver(output)
        wait_for(made.ready, 30, "the receiver")
        yield made
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("how", ["http", "grpc"])
def test_a_request_is_a_span_of_its_deployment(receiver: Receiver, how: str) -> None:
    rendered = serving(observability={"otlpEndpoint": receiver.endpoint(how)})
    env = {each["name"]: each["value"] for each in tracing_env(rendered)}
    with serve(tiny(), name="tiny", args=tracing_args(rendered), env=env) as server:
        client = OpenAI(base_url=server.base_url, api_key=server.key, timeout=180)
        client.completions.create(
            model="tiny",
            prompt="Hello",
            max_tokens=4,
            extra_headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
        )
        (span,) = wait_for(receiver.requests, 30, "a span of the request")
    assert span["how"] == ("grpc" if how == "grpc" else "http /v1/traces")
    assert span["trace"] == TRACE, "the caller's trace goes on"
    assert span["resource"]["service.name"] == "web"
    assert span["resource"]["k8s.namespace.name"] == "default"
    told = {"gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"}
    assert told <= set(span["attributes"]), span["attributes"]
    assert not [name for name in span["attributes"] if "content" in name], "no text of anybody"
