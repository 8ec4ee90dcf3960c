"""A server that real vLLM refuses: the operator names the cause by its log, as doctor does."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import NAMESPACE, TINY
from tests.support.stack import OPERATOR, RUNTIME_CLASS, VLLM_IMAGE, Stack, wait_for
from tests.support.vllm_cpu.breakages import BREAKAGES, Breakage, run

from llama_operator.diagnose.judge import diagnose
from llama_operator.diagnose.pods import TAIL_LINES, ended
from llama_operator.reconcile.podlogs import PodLogs
from llama_operator.runtime import Api, load_configuration

Object = dict[str, Any]
NAME = "broken"
OF_NAME = f"llamactl.dev/deployment={NAME}"
# vLLM's imports, three processes one after the other, on two busy cores.
CRASH_SECONDS = 180
VERDICT_SECONDS = 20
# Of different parts of vLLM, and over within half a minute.
QUICK = (
    "unknown-flag",
    "model-dir-missing",
    "tp3-heads4",
    "max-model-len-too-big",
    "safetensors-truncated",
)


def manifest(*args: str) -> Object:
    return {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": "LlamaDeployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "model": TINY,
            "gpu": {"count": 1},
            "runtimeClassName": RUNTIME_CLASS,
            "engine": {
                "device": "cpu",
                "image": VLLM_IMAGE,
                "enforceEager": True,
                "args": list(args),
            },
        },
    }


@pytest.mark.node
@pytest.mark.vllm
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mended", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_loader_that_the_image_lacks_is_named_in_degraded(stack: Stack, mended: bool) -> None:
    """The root cause stands 120 lines before the end, far beyond what the kubelet keeps."""
    cluster = stack.cluster
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest("--load-format=tensorizer")))
    try:
        wait_for(lambda: _crashed(stack), CRASH_SECONDS, "vLLM to end", every=0.5)
        _told_from_the_next_run(stack)
        found = wait_for(lambda: _degraded(stack), VERDICT_SECONDS, stack.log(OPERATOR)[-2000:])
        assert found["reason"] == "LoadFormatUnavailable"
        assert "The image has no tensorizer." in found["message"]
        assert "Remove --load-format from spec.engine.args" in found["message"]
        ready = stack.condition("llama", NAME, "Ready", NAMESPACE)
        assert (ready["status"], ready["reason"]) == ("False", found["reason"])
        if mended:
            _heals(stack)
        else:
            _stays(stack, found)
    finally:
        cluster.kubectl("delete", "llama", NAME, "-n", NAMESPACE, timeout=60)


def _crashed(stack: Stack) -> bool:
    return any(ended(pod) is not None for pod in stack.list("pods", NAMESPACE, "-l", OF_NAME))


def _degraded(stack: Stack) -> Object | None:
    found = stack.condition("llama", NAME, "Degraded", NAMESPACE)
    return found if found.get("status") == "True" else None


def _told_from_the_next_run(stack: Stack) -> None:
    """Who has seen the end of a run, and asks when the next one runs, gets the log of that run."""
    pod = wait_for(lambda: _runs_again(stack), CRASH_SECONDS, "the next run", every=0.2)
    container = pod["status"]["containerStatuses"][0]
    as_it_was_seen = {**container, "state": container["lastState"], "lastState": {}}
    stale = {**pod, "status": {"containerStatuses": [as_it_was_seen]}}
    told = asyncio.run(_logs(stack, stale))
    assert "No module named 'tensorizer'" in told[pod["metadata"]["uid"]]


def _runs_again(stack: Stack) -> Object | None:
    """The pod, while its second run is on."""
    for pod in stack.list("pods", NAMESPACE, "-l", OF_NAME):
        for each in pod["status"].get("containerStatuses", ()):
            if "running" in each["state"] and each["restartCount"] == 1:
                return pod
    return None


async def _logs(stack: Stack, pod: Object) -> dict[str, str]:
    api = Api(await load_configuration(stack.cluster.kubeconfig))
    try:
        return await PodLogs(api).of([pod])
    finally:
        await api.close()


def _stays(stack: Stack, found: Object) -> None:
    """The second crash says the same, to the letter."""
    wait_for(lambda: _restarts(stack) >= 2, CRASH_SECONDS, "vLLM to end again", every=0.5)
    time.sleep(2)
    assert stack.condition("llama", NAME, "Degraded", NAMESPACE) == found


def _restarts(stack: Stack) -> int:
    pods = stack.list("pods", NAMESPACE, "-l", OF_NAME)
    runs = [
        each["restartCount"] + ("terminated" in each["state"])
        for pod in pods
        for each in pod["status"].get("containerStatuses", ())
    ]
    return max(runs, default=0)


def _heals(stack: Stack) -> None:
    """The fix that the message names is the fix."""
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest()))
    stack.cluster.kubectl(
        "wait",
        "-n",
        NAMESPACE,
        "--for=condition=Ready",
        f"--timeout={CRASH_SECONDS}s",
        f"llama/{NAME}",
        timeout=CRASH_SECONDS + 10,
    )
    assert stack.condition("llama", NAME, "Degraded", NAMESPACE)["reason"] == "Healthy"


def _each() -> list[object]:
    """All; with the one in a pod, `make test` sees six."""
    assert {*QUICK} <= {each.name for each in BREAKAGES}
    return [
        pytest.param(each, id=each.name, marks=() if each.name in QUICK else pytest.mark.slow)
        for each in BREAKAGES
    ]


@pytest.mark.vllm
@pytest.mark.parametrize("breakage", _each())
def test_each_way_to_break_a_real_vllm_shows_its_cause(breakage: Breakage, tmp_path: Path) -> None:
    if breakage.shm and os.geteuid() != 0:
        pytest.skip("only root may mount another /dev/shm")
    outcome = run(breakage, tmp_path / "run")
    # Some failures make vLLM hang instead of end.
    assert outcome.exit_code in (breakage.exit_code, None)
    verdict = diagnose(outcome.log.splitlines()[-TAIL_LINES:], outcome.exit_code)
    assert verdict.cause == breakage.cause, outcome.log[-3000:]
