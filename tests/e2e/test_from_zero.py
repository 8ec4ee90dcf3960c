"""From no server to an answer on a node: the activator in its pod, and what was compiled kept for it."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest
from tests.e2e.conftest import NAMESPACE, TINY
from tests.support.demo.ask import api_key, forwarded
from tests.support.stack import RUNTIME_CLASS, VLLM_IMAGE, Stack, wait_for

pytestmark = [pytest.mark.node, pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(900)]
Object = dict[str, Any]
NAME, REQUESTS = "zero", 20


def test_requests_to_no_server_wait_for_one_and_it_goes_again(stack: Stack) -> None:
    _apply(stack)
    wait_for(lambda: _activator(stack), 120, "the activator to be ready", every=1)
    assert _servers(stack) == []
    key = api_key(stack.get("secret", f"{NAME}-api-key", NAMESPACE))
    with _endpoint(stack) as port, ThreadPoolExecutor(REQUESTS) as pool:
        answers = list(pool.map(lambda _: _ask(port, key), range(REQUESTS)))
    assert [each["usage"]["completion_tokens"] for each in answers] == [4] * REQUESTS
    assert len({each["id"] for each in answers}) == REQUESTS, "none was answered twice"
    first = _servers(stack)
    assert len(first) == 1
    _compiled_is_kept(stack)
    wait_for(lambda: not _servers(stack), 180, "the idle server to go", every=1)
    assert stack.get("llama", NAME, NAMESPACE)["spec"]["replicas"] == 0
    with _endpoint(stack) as port:
        assert _ask(port, key)["usage"]["completion_tokens"] == 4
    (second,) = _servers(stack)
    assert second != first[0]
    keeper = stack.cluster.kubectl("logs", "-n", NAMESPACE, second, "-c", "compile-cache")
    assert "restored" in keeper, keeper
    stack.cluster.kubectl("delete", "llama", NAME, "-n", NAMESPACE)


def _apply(stack: Stack) -> None:
    spec = {
        "model": TINY,
        "replicas": 0,
        "gpu": {"count": 1},
        "runtimeClassName": RUNTIME_CLASS,
        "engine": {"device": "cpu", "image": VLLM_IMAGE},
        "compileCache": {"storage": {"accessModes": ["ReadWriteOnce"], "size": "1Gi"}},
        "autoscaling": {"minReplicas": 0, "maxReplicas": 1, "idleAfter": "20s"},
    }
    meta = {"name": NAME, "namespace": NAMESPACE}
    wish = {"apiVersion": "llamactl.dev/v1alpha1", "kind": "LlamaDeployment", "metadata": meta}
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps({**wish, "spec": spec}))


def _pods(stack: Stack, component: str) -> list[Object]:
    mine = f"llamactl.dev/deployment={NAME},app.kubernetes.io/component={component}"
    found = stack.list("pods", NAMESPACE, "-l", mine)
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def _servers(stack: Stack) -> list[str]:
    return [pod["metadata"]["name"] for pod in _pods(stack, "server")]


def _activator(stack: Stack) -> bool:
    pods = _pods(stack, "activator")
    boxes = [box for pod in pods for box in pod.get("status", {}).get("containerStatuses", ())]
    return bool(boxes) and all(box["ready"] for box in boxes)


def _endpoint(stack: Stack) -> AbstractContextManager[int]:
    return forwarded(stack.cluster.kubeconfig, f"svc/{NAME}", 8000, NAMESPACE)


def _ask(port: int, key: str) -> Object:
    """Through the activator: of what the Service selects, it alone is there."""
    body = {"model": TINY, "prompt": "a", "max_tokens": 4, "ignore_eos": True}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=400) as answer:  # noqa: S310
        return dict(json.load(answer))


def _compiled_is_kept(stack: Stack) -> None:
    """The keeper's word; the engine itself cannot see the volume."""
    (pod,) = _servers(stack)
    log = ("logs", "-n", NAMESPACE, pod, "-c", "compile-cache")
    wait_for(lambda: "kept" in stack.cluster.kubectl(*log), 120, "what was compiled to be kept")
