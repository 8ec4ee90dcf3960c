"""Each failure of the way to the cluster: one sentence, the fix, the next command, the code."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from llamactl import kube
from tests.cli.conftest import DEPLOYMENTS, SECRETS, Run
from tests.cli.fake_api import Answer, Fake, status
from tests.cli.objects import ready


def answer_all(api: Fake, answer: Answer) -> None:
    api.rules.append(lambda *_: answer)


def test_no_kubeconfig(llamactl: Run, tmp_path: Path) -> None:
    result = llamactl("list", "--kubeconfig", tmp_path / "none")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"no kubeconfig: {tmp_path}/none does not exist" in result.stderr
    assert "--kubeconfig or KUBECONFIG" in result.stderr


def test_wrong_context_offers_the_nearest(llamactl: Run, api: Fake) -> None:
    result = llamactl("--context", "fakee", "list")
    assert result.exit_code == 1
    assert "--context: no context 'fakee'" in result.stderr
    assert "There is fake." in result.stderr
    assert api.asked == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "line 2"),
        ("- 1", "holds no mapping"),
        ("contexts: []", "names no current context"),
        ("\x00", "cannot be read"),
    ],
)
def test_a_broken_kubeconfig(llamactl: Run, tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "broken"
    path.write_text(text)
    result = llamactl("list", "--kubeconfig", path)
    assert result.exit_code == 1
    assert why in result.stderr
    assert "Traceback" not in result.stderr


def test_a_context_whose_cluster_is_missing(llamactl: Run, api: Fake, tmp_path: Path) -> None:
    path = api.kubeconfig(tmp_path)
    path.write_text(path.read_text().replace("name: c\n", "name: other\n"))
    result = llamactl("list")
    assert result.exit_code == 1
    assert "context 'fake' cannot be used" in result.stderr


def test_the_first_file_that_names_a_context_wins(
    llamactl: Run, api: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = api.kubeconfig(tmp_path)
    second = tmp_path / "second"
    second.write_text(yaml.safe_dump({"current-context": "nowhere", "contexts": []}))
    monkeypatch.setenv("KUBECONFIG", f"{first}:{second}")
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    assert llamactl("list", "-o", "name").stdout == "llamadeployment.llamactl.dev/my-llama\n"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_connection_refused(llamactl: Run, api: Fake, tmp_path: Path) -> None:
    api.port = _free_port()
    api.kubeconfig(tmp_path)
    result = llamactl("list")
    assert result.exit_code == 1
    assert f"http://127.0.0.1:{api.port} (context 'fake'): connection refused" in result.stderr


def test_a_server_that_hangs(
    llamactl: Run, api: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "READ_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        api.port = silent.getsockname()[1]
        api.kubeconfig(tmp_path)
        result = llamactl("list")
    assert result.exit_code == 1
    assert "took the request and did not answer" in result.stderr


def test_a_server_that_sends_html(llamactl: Run, api: Fake) -> None:
    answer_all(api, (200, "<html>login</html>"))
    result = llamactl("list")
    assert result.exit_code == 1
    assert "its answer is not JSON" in result.stderr


def test_401(llamactl: Run, api: Fake) -> None:
    answer_all(api, (401, status(401, "Unauthorized", "Unauthorized")))
    result = llamactl("list")
    assert result.exit_code == 1
    assert "does not accept your credentials (401)" in result.stderr
    assert "kubectl config view --minify" in result.stderr
    assert api.authorization == ["Bearer user-token"]


def test_403_names_the_rule_to_ask_for(llamactl: Run, api: Fake) -> None:
    message = 'llamadeployments.llamactl.dev is forbidden: User "u" cannot list resource'
    answer_all(api, (403, status(403, "Forbidden", message)))
    result = llamactl("list", "-n", "team")
    assert result.exit_code == 1
    assert 'you may not list llamadeployments.llamactl.dev in namespace "team" (403)' in (
        result.stderr
    )
    assert '{apiGroups: ["llamactl.dev"], resources: [llamadeployments], verbs: [list]}' in (
        result.stderr
    )
    assert "kubectl auth can-i list llamadeployments.llamactl.dev -n team" in result.stderr


def test_403_of_a_secret_names_the_secret(llamactl: Run, engine: object, api: Fake) -> None:
    message = 'secrets "my-llama-api-key" is forbidden: User "u" cannot get resource'

    def rule(_: Fake, __: str, path: str, ___: dict[str, Any]) -> Answer | None:
        return (403, status(403, "Forbidden", message)) if path.startswith(SECRETS) else None

    api.rules.append(rule)
    result = llamactl("chat", "my-llama", "x")
    assert result.exit_code == 1
    assert 'you may not get secrets in namespace "n" (403)' in result.stderr


def test_a_policys_refusal_keeps_its_words(llamactl: Run, api: Fake) -> None:
    answer_all(api, (403, status(403, "Forbidden", "exceeded quota: llamas, used 2, limited 2")))
    result = llamactl("list")
    assert "exceeded quota: llamas" in result.stderr
    assert "role" not in result.stderr


def test_404_of_the_kind_means_no_crds(llamactl: Run, api: Fake) -> None:
    answer_all(api, (404, "404 page not found"))
    result = llamactl("list")
    assert result.exit_code == 1
    assert "this cluster has no LlamaDeployment API" in result.stderr
    assert "llamactl doctor cluster" in result.stderr


def test_404_of_the_object_offers_the_nearest(llamactl: Run, api: Fake) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    result = llamactl("status", "my-llamma")
    assert result.exit_code == 1
    assert "no LlamaDeployment 'my-llamma' in namespace 'n'" in result.stderr
    assert "Did you mean my-llama?" in result.stderr


def test_a_busy_server_is_asked_again(
    llamactl: Run, api: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    busy = [True, True]

    def rule(*_: object) -> Answer | None:
        return (429, status(429, "TooManyRequests", "")) if busy and busy.pop() else None

    api.rules.append(rule)
    assert llamactl("list", "-o", "name").exit_code == 0
    assert pauses == [1.0, 1.0]


def test_a_server_that_stays_busy(
    llamactl: Run, api: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    answer_all(api, (429, status(429, "TooManyRequests", "")))
    result = llamactl("list")
    assert result.exit_code == 1
    assert "busy (429)" in result.stderr
    assert len(api.asked) == kube.BUSY_TRIES


def test_500(llamactl: Run, api: Fake) -> None:
    answer_all(api, (500, status(500, "InternalError", "etcdserver: no leader")))
    result = llamactl("list")
    assert result.exit_code == 1
    assert "failed (500): etcdserver: no leader" in result.stderr


def test_suggestions_carry_the_flags_that_were_given(llamactl: Run, api: Fake) -> None:
    result = llamactl("--context", "fake", "status", "-n", "a b", "x")
    assert "llamactl list -n 'a b' --context fake" in result.stderr


def test_the_plugin_suggests_itself(api: Fake, tmp_path: Path) -> None:
    import os
    import sys

    script = Path(sys.executable).parent / "kubectl-llama"
    env = {**os.environ, "KUBECONFIG": str(tmp_path / "kubeconfig")}
    done = subprocess.run(
        [script, "status", "x"], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 1
    assert "  kubectl llama list\n" in done.stderr


def test_debug_adds_the_traceback(
    llamactl: Run, api: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_all(api, (401, status(401, "Unauthorized", "Unauthorized")))
    monkeypatch.setenv("LLAMACTL_DEBUG", "1")
    assert "Traceback" in llamactl("list").stderr


def test_a_fault_of_ours_is_said_to_be_one(
    llamactl: Run, api: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube.Kube, "list_at", lambda *_, **__: 1 / 0)
    result = llamactl("list")
    assert result.exit_code == 1
    assert "ZeroDivisionError" in result.stderr
    assert "fault of llamactl" in result.stderr
    assert "Traceback" not in result.stderr
