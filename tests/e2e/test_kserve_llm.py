"""A real vLLM in a pod that KServe's real controller makes of an LLMInferenceService.

There is no Gateway: the pod is asked by our Service and by KServe's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.e2e.conftest import NAMESPACE, TINY
from tests.support.demo.ask import api_key, forwarded
from tests.support.kserve import controller
from tests.support.stack import RUNTIME_CLASS, VLLM_IMAGE, Stack, wait_for

pytestmark = [pytest.mark.node, pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(1200)]
Object = dict[str, Any]
NAME = "behind"
MADE = f"{NAME}-kserve"
SELECTOR = f"llamactl.dev/deployment={NAME},app.kubernetes.io/component=server"
SECONDS = 300


def manifest() -> Object:
    resources = {"requests": {"cpu": "400m"}}
    engine = {"device": "cpu", "image": VLLM_IMAGE, "enforceEager": True, "resources": resources}
    return {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": "LlamaDeployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "model": TINY,
            "backend": "kserve",
            "kserve": {"resource": "LLMInferenceService"},
            "engine": engine,
            "runtimeClassName": RUNTIME_CLASS,
            "drain": {"timeout": "5s"},
        },
    }


def pods(stack: Stack) -> list[Object]:
    found = stack.list("pods", NAMESPACE, "-l", SELECTOR)
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


def available(stack: Stack) -> bool:
    return stack.condition("llama", NAME, "Available", NAMESPACE).get("status") == "True"


def test_it_serves_with_the_guard_in_a_pod_that_kserve_made(stack: Stack, tmp_path: Path) -> None:
    with controller.installed(stack.cluster, tmp_path):
        stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest()))
        try:
            wait_for(lambda: available(stack), SECONDS, "a server", every=1)
            (pod,) = pods(stack)
            (owner,) = pod["metadata"]["ownerReferences"]
            assert owner["name"].startswith(MADE)
            for service in (NAME, f"{MADE}-workload-svc"):
                _asked(stack, service)
            told = stack.condition("llama", NAME, "Ready", NAMESPACE)
            assert told["status"] == "False"
            assert controller.GATEWAY in told["message"]
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{_told(stack)}") from None
        finally:
            stack.cluster.kubectl("delete", "llama", NAME, "-n", NAMESPACE)
            wait_for(lambda: not pods(stack), 120, "the pods to go", every=1)


def _asked(stack: Stack, service: str) -> None:
    key = api_key(stack.get("secret", f"{NAME}-api-key", NAMESPACE))
    with forwarded(stack.cluster.kubeconfig, f"svc/{service}", 8000, NAMESPACE) as port:
        address = f"http://127.0.0.1:{port}/v1"
        client = openai.OpenAI(base_url=address, api_key=key, timeout=120)
        answer = client.completions.create(model=TINY, prompt="a", max_tokens=4, temperature=0)
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=address, api_key="wrong", max_retries=0).models.list()
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


def _told(stack: Stack) -> str:
    status = stack.get("llama", NAME, NAMESPACE).get("status", {})
    logs = []
    for pod in pods(stack):
        name = pod["metadata"]["name"]
        text = stack.cluster.kubectl("logs", name, "-n", NAMESPACE, "--tail=60")
        logs.append(f"-- {name} {json.dumps(pod['status'])}\n{text}")
    return "\n".join([json.dumps(status, indent=1), *logs, stack.log(controller.NAME)[-3000:]])
