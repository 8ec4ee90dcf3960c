"""A real vLLM in two pods, one rank each, made by the real LeaderWorkerSet; either rank is killed.

Two pods of the one node stand for two nodes: what lies between the ranks is the network of pods. An
adapter is loaded in both ranks while they serve, and again by those that come after them.
"""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.e2e.conftest import ADAPTER, NAMESPACE, TINY
from tests.support import lws
from tests.support.demo.ask import api_key, forwarded
from tests.support.stack import RUNTIME_CLASS, VLLM_IMAGE, Stack, wait_for

pytestmark = [pytest.mark.node, pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(1800)]
Object = dict[str, Any]
NAME = "pair"
SELECTOR = f"llamactl.dev/deployment={NAME}"
SQL = {"name": "sql", "source": {"huggingFace": {"repo": ADAPTER}}}
FIRST, OTHER = f"{NAME}-0", f"{NAME}-0-1"
SECONDS = 300


def manifest() -> Object:
    # The one node has two processors, and more pods than these two.
    resources = {"requests": {"cpu": "400m"}}
    engine = {"device": "cpu", "image": VLLM_IMAGE, "enforceEager": True, "resources": resources}
    return {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": "LlamaDeployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "model": TINY,
            "storage": {"accessModes": ["ReadWriteMany"]},
            "gpu": {"count": 2, "resourceName": "nvidia.com/gpu"},
            "sizing": {"nodes": 2, "tensorParallel": 2},
            "engine": engine,
            "runtimeClassName": RUNTIME_CLASS,
            "drain": {"timeout": "5s"},
            "lora": {"enabled": True, "maxAdapters": 1, "maxRank": 8},
        },
    }


def pods(stack: Stack) -> dict[str, str]:
    found = [pod["metadata"] for pod in stack.list("pods", NAMESPACE, "-l", SELECTOR)]
    return {meta["name"]: meta["uid"] for meta in found if not meta.get("deletionTimestamp")}


def ready(stack: Stack) -> bool:
    return stack.condition("llama", NAME, "Ready", NAMESPACE).get("status") == "True"


def test_two_ranks_serve_and_are_replaced_together_whichever_is_killed(
    stack: Stack, tmp_path: Path
) -> None:
    with lws.installed(stack.cluster, tmp_path):
        stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest()))
        try:
            wait_for(lambda: ready(stack), SECONDS, "two ranks that serve", every=1)
            assert set(pods(stack)) == {FIRST, OTHER}
            _each_has_its_part(stack)
            words = _asked(stack, TINY)
            _loads_an_adapter(stack)
            others = _asked(stack, "sql")
            assert others != words
            for killed in (OTHER, FIRST):
                _replaced(stack, killed)
                assert (_asked(stack, TINY), _asked(stack, "sql")) == (words, others)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{_told(stack)}") from None
        finally:
            stack.cluster.kubectl("delete", "llama", NAME, "-n", NAMESPACE)
            wait_for(lambda: not pods(stack), 120, "the pods to go", every=1)


def _each_has_its_part(stack: Stack) -> None:
    other = stack.get("pod", OTHER, NAMESPACE)["spec"]["containers"][0]
    assert "--headless" in other["args"]
    assert "ports" not in other
    assert all(each["readOnly"] for each in other["volumeMounts"] if each["name"] == "weights")


def _loads_an_adapter(stack: Stack) -> None:
    """In the ranks that run, told by the first one."""
    before = pods(stack)
    wanted = json.dumps({"spec": {"adapters": [SQL]}})
    stack.cluster.kubectl("patch", "llama", NAME, "-n", NAMESPACE, "--type=merge", "-p", wanted)

    def loaded() -> bool:
        # A kubelet looks at a pod that changes at once; else a changed ConfigMap takes a minute.
        mark = f"test/now={time.monotonic_ns()}"
        stack.cluster.kubectl("annotate", "pod", FIRST, "-n", NAMESPACE, mark, "--overwrite")
        rows = stack.get("llama", NAME, NAMESPACE)["status"].get("adapters", ())
        return [(row["name"], row["readyReplicas"]) for row in rows] == [("sql", 1)]

    wait_for(loaded, SECONDS, "the adapter to be loaded", every=5)
    assert pods(stack) == before


def _asked(stack: Stack, model: str) -> str:
    key = api_key(stack.get("secret", f"{NAME}-api-key", NAMESPACE))
    with forwarded(stack.cluster.kubeconfig, f"svc/{NAME}", 8000, NAMESPACE) as port:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, timeout=120)
        answer = client.completions.create(model=model, prompt="a", max_tokens=4, temperature=0)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
            metrics = page.read().decode()
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
    assert "llama_canary_requests_total" in metrics, "the canary stands behind the guard"
    return answer.choices[0].text


def _replaced(stack: Stack, killed: str) -> None:
    """The process is told to end, as by a fault of its own; nobody deletes a pod."""
    before = pods(stack)
    stack.cluster.kubectl("exec", killed, "-n", NAMESPACE, "--", "sh", "-c", "kill 1")

    def anew() -> bool:
        now = pods(stack)
        return set(now) == set(before) and not set(now.values()) & set(before.values())

    wait_for(anew, SECONDS, f"both ranks anew after {killed} was killed", every=1)
    wait_for(lambda: ready(stack), SECONDS, f"Ready after {killed} was killed", every=1)


def _told(stack: Stack) -> str:
    status = stack.get("llama", NAME, NAMESPACE).get("status", {})
    logs = []
    for pod in pods(stack):
        text = stack.cluster.kubectl("logs", pod, "-n", NAMESPACE, "--tail=60")
        logs.append(f"-- {pod}\n{text}")
    manager = stack.log(lws.MANAGER)[-3000:]
    return "\n".join([json.dumps(status.get("conditions"), indent=1), *logs, manager])
