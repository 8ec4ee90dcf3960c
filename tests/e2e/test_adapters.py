"""LoRA adapters on a real node with a real vLLM: fetched, loaded, refused and unloaded, hot."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.e2e.conftest import ADAPTER, HIGH, NAMESPACE, TINY
from tests.support import adapters
from tests.support.cluster.testing import claim, mounting, python_pod
from tests.support.demo.ask import api_key, forwarded
from tests.support.stack import OPERATOR, RUNTIME_CLASS, VLLM_IMAGE, Stack, wait_for

pytestmark = [
    pytest.mark.node,
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]
Object = dict[str, Any]
NAME, POD = "tuned", ("-l", "llamactl.dev/deployment=tuned,app.kubernetes.io/component=server")
SQL = {"name": "sql", "source": {"huggingFace": {"repo": ADAPTER}}}
MINE = {"name": "mine", "source": {"claim": {"name": "my-adapters", "path": "poetry"}}}
TOO_HIGH = {"name": "high", "source": {"huggingFace": {"repo": HIGH}}}
# A kubelet brings a changed ConfigMap within its sync period and the life of its cache.
PROPAGATION = 300


def _deployment() -> Object:
    engine = {"device": "cpu", "image": VLLM_IMAGE, "enforceEager": True}
    return {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": "LlamaDeployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "model": TINY,
            "gpu": {"count": 1, "resourceName": "nvidia.com/gpu"},
            "engine": engine,
            "runtimeClassName": RUNTIME_CLASS,
            "lora": {"enabled": True, "maxAdapters": 3, "maxRank": 8},
        },
    }


@pytest.fixture
def files(stack: Stack, tmp_path: Path) -> Iterator[None]:
    """An adapter on a claim of the user."""
    made = claim("my-adapters", "local", "64Mi")
    made["metadata"]["namespace"] = NAMESPACE
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(made))
    source = adapters.write(tmp_path / "poetry", seed=3)
    texts = {each.name: base64.b64encode(each.read_bytes()).decode() for each in source.iterdir()}
    code = (
        "import base64, os\nos.umask(0o022)\nos.makedirs('/data/poetry', exist_ok=True)\n"
        f"for name, text in {texts!r}.items():\n"
        "    open('/data/poetry/' + name, 'wb').write(base64.b64decode(text))\n"
    )
    pod = python_pod("put-adapter", code, **mounting("my-adapters"))
    pod["metadata"]["namespace"] = NAMESPACE
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(pod))
    wait_for(lambda: _phase(stack, "put-adapter") == "Succeeded", 120, "the files to be there")
    stack.cluster.kubectl("delete", "pod", "put-adapter", "-n", NAMESPACE, "--grace-period=1")
    yield
    for kind, name in (("llama", NAME), ("pvc", "my-adapters")):
        stack.cluster.kubectl("delete", kind, name, "-n", NAMESPACE, "--ignore-not-found")


def _phase(stack: Stack, pod: str) -> str:
    return str(stack.get("pod", pod, NAMESPACE)["status"].get("phase"))


def _want(stack: Stack, *wanted: Object) -> None:
    patch = json.dumps({"spec": {"adapters": list(wanted)}})
    stack.cluster.kubectl("patch", "llama", NAME, "-n", NAMESPACE, "--type=merge", "-p", patch)


def _rows(stack: Stack) -> dict[str, Object]:
    found = stack.get("llama", NAME, NAMESPACE)["status"].get("adapters", ())
    return {row["name"]: row for row in found}


def _hurry(stack: Stack) -> None:
    """A kubelet looks at a pod that changes at once; else a changed ConfigMap takes a minute."""
    mark = f"test/now={time.monotonic_ns()}"
    stack.cluster.kubectl("annotate", "pod", "-n", NAMESPACE, *POD, mark, "--overwrite")


def _loaded(stack: Stack, *names: str) -> None:
    def true() -> bool:
        _hurry(stack)
        rows = _rows(stack)
        return {name for name, row in rows.items() if row["readyReplicas"] == 1} == {*names}

    try:
        wait_for(true, PROPAGATION, f"{names} to be loaded", every=5)
    except TimeoutError as error:
        raise AssertionError(f"{_rows(stack)}\n{stack.log(OPERATOR)[-3000:]}") from error


def test_adapters_are_loaded_refused_and_unloaded_without_a_restart(
    stack: Stack, files: None
) -> None:
    kubectl = stack.cluster.kubectl
    kubectl("apply", "-f", "-", input=json.dumps(_deployment()))
    ready = ("--for=condition=Ready", "--timeout=300s", f"llama/{NAME}")
    kubectl("wait", "-n", NAMESPACE, *ready, timeout=310)
    [before] = stack.list("pods", NAMESPACE, *POD)
    key = api_key(stack.get("secret", f"{NAME}-api-key", NAMESPACE))
    with forwarded(stack.cluster.kubeconfig, f"svc/{NAME}", 8000, NAMESPACE) as port:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, timeout=120)
        _want(stack, SQL, MINE)
        _loaded(stack, "sql", "mine")
        assert _served(client) == {TINY, "sql", "mine"}
        assert len({_answer(client, model) for model in (TINY, "sql", "mine")}) == 3
        _refused(stack)
        _loaded(stack, "sql", "mine")
        _want(stack, MINE)
        _loaded(stack, "mine")
        wait_for(lambda: _served(client) == {TINY, "mine"}, PROPAGATION, "sql to be unloaded", 1)
        with pytest.raises(openai.NotFoundError):
            _answer(client, "sql")
    _its_files_are_removed(stack)
    [after] = stack.list("pods", NAMESPACE, *POD)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0


def _served(client: openai.OpenAI) -> set[str]:
    return {model.id for model in client.models.list()}


def _answer(client: openai.OpenAI, model: str) -> str:
    done = client.completions.create(model=model, prompt="a b c d", max_tokens=16, temperature=0)
    return done.choices[0].text


def _refused(stack: Stack) -> None:
    _want(stack, SQL, MINE, TOO_HIGH)
    condition = wait_for(
        lambda: _with_reason(stack, "AdapterFailed"), 120, "the rank to be refused", every=1
    )
    assert condition["message"] == (
        "spec.adapters[high]: its rank 32 is above spec.lora.maxRank 8; set that to 32 (one "
        "restart), or use an adapter of a lower rank"
    )
    assert _rows(stack)["high"]["message"] == condition["message"]


def _with_reason(stack: Stack, reason: str) -> Object | None:
    found = stack.condition("llama", NAME, "Degraded", NAMESPACE)
    return found if found.get("reason") == reason else None


def _its_files_are_removed(stack: Stack) -> None:
    def copies() -> list[Object]:
        return stack.list("llamaweights", NAMESPACE, "-l", f"llamactl.dev/deployment={NAME}")

    [kept] = wait_for(
        lambda: found if len(found := copies()) == 1 else None, PROPAGATION, "one copy", every=1
    )
    code = "import os\nprint([p for p, _, files in os.walk('/data') if 'manifest.json' in files])"
    pod = python_pod("list-adapters", code, **mounting(f"{NAME}-adapters"))
    pod["metadata"]["namespace"] = NAMESPACE
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(pod))
    wait_for(lambda: _phase(stack, "list-adapters") == "Succeeded", 120, "the list of files")
    shown = stack.cluster.kubectl("logs", "list-adapters", "-n", NAMESPACE)
    stack.cluster.kubectl("delete", "pod", "list-adapters", "-n", NAMESPACE, "--grace-period=1")
    assert shown.strip() == f"['/data/{kept['status']['path']}']"
