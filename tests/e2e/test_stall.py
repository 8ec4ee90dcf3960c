"""A real vLLM that hangs while it starts is replaced by the operator, long before any probe."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import NAMESPACE, TINY
from tests.support.stack import OPERATOR, RUNTIME_CLASS, VLLM_IMAGE, Stack, wait_for

pytestmark = [
    pytest.mark.node,
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]
Object = dict[str, Any]
NAME = "hung"
# As the operator is, but for waiting: vLLM's imports are silent for some 10 s here, busy for 20.
IMPATIENT = """
from llama_operator.reconcile import decide, stalls, startlogs
decide.FOLLOW_SECONDS = startlogs.FOLLOW_SECONDS = 2.0
stalls.SILENCE_SECONDS = 40.0
"""
MANIFEST: Object = {
    "apiVersion": "llamactl.dev/v1alpha1",
    "kind": "LlamaDeployment",
    "metadata": {"name": NAME, "namespace": NAMESPACE},
    "spec": {
        "model": TINY,
        "gpu": {"count": 1},
        "runtimeClassName": RUNTIME_CLASS,
        "engine": {"device": "cpu", "image": VLLM_IMAGE, "enforceEager": True},
    },
}


def test_a_server_that_hangs_is_replaced_and_the_next_one_serves(stack: Stack) -> None:
    stack.start_operator(stack.hub, change=IMPATIENT)
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(MANIFEST))
    try:
        first = wait_for(lambda: _running(stack), 180, "the server's container")
        wait_for(lambda: _written(stack, first), 60, "the first line of vLLM")
        _stop(first["metadata"]["uid"])
        told = wait_for(lambda: _stalled(stack), 150, stack.log(OPERATOR)[-2000:], every=0.5)
        assert "A server wrote nothing for 1 minutes" in told["message"]
        stack.cluster.kubectl(
            "wait", "-n", NAMESPACE, "--for=condition=Ready", "--timeout=180s", f"llama/{NAME}",
            timeout=190,
        )  # fmt: skip
        (second,) = _pods(stack)
        assert second["metadata"]["uid"] != first["metadata"]["uid"]
        assert _restarts(second) == 0, "by the operator, and not by a probe"
        status = stack.get("llama", NAME, NAMESPACE)["status"]
        assert status["coldStart"]["pod"] == second["metadata"]["name"]
        assert status["observed"]["kvTokens"] == status["plan"]["kvTokens"]
    finally:
        stack.cluster.kubectl("delete", "llama", NAME, "-n", NAMESPACE, timeout=90)
        stack.start_operator(stack.hub)


def _pods(stack: Stack) -> list[Object]:
    found = stack.list("pods", NAMESPACE, "-l", f"llamactl.dev/deployment={NAME}")
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


def _running(stack: Stack) -> Object | None:
    return next((pod for pod in _pods(stack) if pod["status"].get("phase") == "Running"), None)


def _restarts(pod: Object) -> int:
    return sum(box["restartCount"] for box in pod["status"]["containerStatuses"])


def _written(stack: Stack, pod: Object) -> str:
    return stack.cluster.kubectl("logs", pod["metadata"]["name"], "-n", NAMESPACE, "--tail=1")


def _stalled(stack: Stack) -> Object | None:
    found = stack.condition("llama", NAME, "Progressing", NAMESPACE)
    return found if found.get("reason") == "StartupStalled" else None


def _stop(uid: str) -> None:
    """SIGSTOP for every process of the pod that this very test has made."""
    names = {uid, uid.replace("-", "_")}
    stopped = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            group = (process / "cgroup").read_text()
            if any(name in group for name in names):
                os.kill(int(process.name), signal.SIGSTOP)
                stopped += 1
    assert stopped, "the pod has no process"
