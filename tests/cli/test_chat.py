"""chat and complete: the answer and nothing else on stdout, the key nowhere."""

from __future__ import annotations

import json

from llamactl import output
from tests.cli.conftest import DEPLOYMENTS, PODS, SECRETS, Run
from tests.cli.engine_stub import Engine
from tests.cli.fake_api import Fake
from tests.cli.objects import pod, ready, secret


def test_one_question_streams_its_answer(llamactl: Run, engine: Engine, api: Fake) -> None:
    result = llamactl("chat", "my-llama", "Capital of France?", "--system", "Be brief.")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Paris é.\n", "")
    body = engine.bodies[0]
    assert body["stream"] is True
    assert body["model"] == "llama-3.1-8b-instruct"
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Capital of France?"},
    ]
    assert "temperature" not in body
    assert ("GET", f"{PODS}/my-llama-0/portforward?ports=8000") in api.asked


def test_words_are_shown_as_they_come(llamactl: Run, engine: Engine, monkeypatch: object) -> None:
    shown: list[str] = []
    monkeypatch.setattr(output, "part", shown.append)  # type: ignore[attr-defined]
    result = llamactl("chat", "my-llama", "x")
    assert result.exit_code == 0, result.output
    assert [word for word in shown if word] == list(engine.words)


def test_no_stream_gives_the_same_text(llamactl: Run, engine: Engine) -> None:
    result = llamactl("chat", "my-llama", "x", "--no-stream")
    assert result.stdout == "Paris é.\n"
    assert "stream" not in engine.bodies[0]


def test_question_from_stdin(llamactl: Run, engine: Engine) -> None:
    result = llamactl("chat", "my-llama", input="Where is Paris?\n")
    assert result.exit_code == 0
    assert engine.bodies[0]["messages"][0]["content"] == "Where is Paris?"


def test_empty_question_is_wrong_usage(llamactl: Run, engine: Engine) -> None:
    result = llamactl("chat", "my-llama", input="")
    assert result.exit_code == 2
    assert "PROMPT is empty" in result.stderr
    assert engine.bodies == []


def test_complete_continues_a_text(llamactl: Run, engine: Engine) -> None:
    result = llamactl(
        "complete", "my-llama", "The capital is", "--max-tokens", 7, "--temperature", 0
    )
    assert result.stdout == "Paris é.\n"
    assert engine.bodies[0] == {
        "prompt": "The capital is",
        "max_tokens": 7,
        "temperature": 0,
        "model": "llama-3.1-8b-instruct",
        "stream": True,
    }


def test_complete_as_json_is_the_servers_answer(llamactl: Run, engine: Engine) -> None:
    result = llamactl("complete", "my-llama", "x", "-o", "json")
    assert json.loads(result.stdout)["choices"][0]["text"] == "Paris é."


def test_the_key_is_shown_nowhere(llamactl: Run, engine: Engine, monkeypatch: object) -> None:
    monkeypatch.setenv("LLAMACTL_DEBUG", "1")  # type: ignore[attr-defined]
    sent, engine.key = engine.key, "another"
    result = llamactl("chat", "my-llama", "x")
    assert result.exit_code == 1
    assert "does not accept the key of its Secret (401)" in result.stderr
    assert "Traceback" in result.stderr
    assert sent not in result.output


def test_a_deployment_without_keys(llamactl: Run, engine: Engine, api: Fake) -> None:
    engine.key = ""
    api.put(f"{DEPLOYMENTS}/my-llama", ready(spec={"auth": {"mode": "None"}}))
    result = llamactl("chat", "my-llama", "x")
    assert result.exit_code == 0, result.output
    assert not any("secrets" in path for _, path in api.asked)


def test_an_own_secret_without_the_entry_default(llamactl: Run, engine: Engine, api: Fake) -> None:
    api.put(f"{SECRETS}/my-llama-api-key", secret(engine.key + "\n", entry="team-a"))
    result = llamactl("chat", "my-llama", "x")
    assert result.exit_code == 0, result.output


def test_an_empty_secret(llamactl: Run, engine: Engine, api: Fake) -> None:
    api.put(f"{SECRETS}/my-llama-api-key", {"data": {}})
    result = llamactl("chat", "my-llama", "x")
    assert result.exit_code == 1
    assert "Secret my-llama-api-key holds no key" in result.stderr


def test_the_servers_refusal_is_passed_on(llamactl: Run, engine: Engine) -> None:
    result = llamactl("chat", "my-llama", "x", "--max-tokens", 5000)
    assert result.exit_code == 1
    assert "answered 400: max_tokens is too large" in result.stderr


def test_an_answer_that_breaks_off_is_a_failure(llamactl: Run, engine: Engine) -> None:
    engine.break_off = True
    result = llamactl("chat", "my-llama", "x")
    assert result.exit_code == 1
    assert "broke off" in result.stderr
    assert "kubectl logs my-llama-0" in result.stderr


def test_a_port_that_refuses(llamactl: Run, engine: Engine, api: Fake) -> None:
    api.pod_error = "connection refused"
    result = llamactl("chat", "my-llama", "x")
    assert result.exit_code == 1
    assert "the pod does not take connections: connection refused" in result.stderr


def test_no_ready_pod_says_what_it_waits_for(llamactl: Run, engine: Engine, api: Fake) -> None:
    api.put(f"{PODS}/my-llama-0", pod(is_ready=False))
    result = llamactl("chat", "my-llama", "x")
    assert result.exit_code == 1
    assert "no replica that answers" in result.stderr
    assert "llamactl status my-llama" in result.stderr


def test_a_mistyped_name_offers_the_nearest(llamactl: Run, engine: Engine) -> None:
    result = llamactl("chat", "my-lama", "x")
    assert result.exit_code == 1
    assert "Did you mean my-llama?" in result.stderr
