"""The models and the server of the test assets together, without a cluster.

Every other end-to-end test stands on them: when one of those fails, these tell whether vLLM and
the model are to blame or the operator is.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import AuthenticationError, OpenAI
from tests.support.models import QUESTION, smollm2, tiny
from tests.support.vllm_cpu import Server, ServerError, routes, serve

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def client(server: Server, key: str | None = None) -> OpenAI:
    # The first request to two ranks takes half a minute on a busy machine.
    return OpenAI(base_url=server.base_url, api_key=key or server.key, timeout=180, max_retries=0)


def group_of(leader: int) -> list[str]:
    """The command lines of the process group that `leader` leads; the dead have none."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == leader:
                found.append((entry / "cmdline").read_text())
        except (ProcessLookupError, FileNotFoundError):
            continue
    return [line for line in found if line]


@pytest.fixture(scope="module")
def one_rank() -> Iterator[Server]:
    with serve(tiny(), name="tiny") as server:
        yield server
    assert group_of(server.process.pid) == []


def completed(server: Server) -> None:
    answer = client(server).completions.create(
        model="tiny", prompt="Hello", max_tokens=8, temperature=0, extra_body={"ignore_eos": True}
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


def test_one_rank_serves_the_made_up_llama(one_rank: Server) -> None:
    completed(one_rank)


@pytest.mark.slow
def test_two_ranks_serve_the_made_up_llama() -> None:
    with serve(tiny(), name="tiny", tensor_parallel=2) as server:
        completed(server)
        workers = [line for line in group_of(server.process.pid) if "Worker_TP" in line]
        assert len(workers) == 2
    assert group_of(server.process.pid) == []


def test_its_chat_template_renders(one_rank: Server) -> None:
    answer = client(one_rank).chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "Hello"}], max_tokens=4
    )
    assert answer.usage is not None
    # <|begin|><|user|>Hello<|end|><|assistant|>, and no letter of "Hello" is merged.
    assert answer.usage.prompt_tokens == 4 + len("Hello")


def test_a_key_is_needed(one_rank: Server) -> None:
    with pytest.raises(AuthenticationError):
        client(one_rank, key="wrong").models.list()


def test_the_routes_that_tests_of_the_guard_know_are_vllms(one_rank: Server) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{one_rank.port}/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert len(served) > 20
    assert served <= set(routes.committed())


@pytest.mark.slow
def test_they_are_all_that_vllm_can_have() -> None:
    assert routes.actual() == routes.FILE.read_text(), "python -m tests.support.vllm_cpu.routes"


@pytest.mark.slow
def test_heads_that_do_not_divide_end_the_start_with_vllms_own_words() -> None:
    refused = serve(tiny(), name="tiny", tensor_parallel=3)
    with pytest.raises(ServerError, match=r"attention heads \(4\) must be divisible"), refused:
        pytest.fail("it started")


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 3])
def test_smollm2_knows_paris(ranks: int) -> None:
    with serve(smollm2(), name="smollm2", tensor_parallel=ranks) as server:
        answer = client(server).chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": QUESTION}],
            max_tokens=32,
            temperature=0,
        )
    assert "Paris" in (answer.choices[0].message.content or "")
