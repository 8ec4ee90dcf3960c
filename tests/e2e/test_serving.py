"""The whole way with a real vLLM: a real small model, and a made-up one at tensor parallel 2."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import openai
import pytest
import yaml
from tests.e2e import guarded
from tests.e2e.command import llamactl
from tests.e2e.conftest import NAMESPACE, SMOLLM2, TINY
from tests.support.cluster import ClusterError
from tests.support.demo.ask import api_key, ask, forwarded
from tests.support.models import QUESTION
from tests.support.stack import HUB, OPERATOR, PROJECT, RUNTIME_CLASS, VLLM_IMAGE, Stack, wait_for

pytestmark = [pytest.mark.node, pytest.mark.vllm, pytest.mark.timeout(600)]
Object = dict[str, Any]
OURS = ("-l", "app.kubernetes.io/managed-by=llama-operator")


def example() -> Object:
    manifest: Object = yaml.safe_load((PROJECT / "examples" / "smollm2.yaml").read_text())
    return manifest


def test_a_real_model_answers_and_leaves_nothing_but_its_weights(stack: Stack) -> None:
    cluster, before = stack.cluster, _claims(stack)
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=json.dumps(example()))
    cluster.kubectl(
        "wait",
        "-n",
        NAMESPACE,
        "--for=condition=Ready",
        "--timeout=300s",
        "llama/smollm2",
        timeout=310,
    )
    secret = stack.get("secret", "smollm2-api-key", NAMESPACE)
    key = api_key(secret)
    with forwarded(cluster.kubeconfig, "svc/smollm2", 8000, NAMESPACE) as port:
        assert "Paris" in ask(port, key, SMOLLM2, QUESTION)
        with pytest.raises(openai.AuthenticationError):
            ask(port, "sk-wrong", SMOLLM2, QUESTION)
        guarded.closed_but_for_health_metrics_and_version(port)
        guarded.rotates_without_a_restart(stack, "smollm2", port)
    observed = stack.get("llama", "smollm2", NAMESPACE)["status"]["observed"]
    assert observed["vllmVersion"].startswith("0.32.0")
    told = llamactl(stack, "complete", "smollm2", "San Francisco is a", "--max-tokens", "8")
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip()
    _bench_counts_what_vllm_counts(stack)
    _secret_is_nowhere(stack, key, secret["data"]["default"])
    _nothing_is_left(stack, before)


def _bench_counts_what_vllm_counts(stack: Stack) -> None:
    load = ("--requests", "4", "--concurrency", "2", "--prompt-tokens", "16", "--max-tokens", "8")
    done = llamactl(stack, "bench", "smollm2", *load, "-o", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["completed"], report["outputTokens"]) == (4, 32), report
    assert 4 * 16 <= report["promptTokens"] <= 4 * 18, "a word is a token"
    assert 0 < report["ttftMs"]["p50"] < report["latencyMs"]["p50"]


def _claims(stack: Stack) -> set[str]:
    return {claim["metadata"]["name"] for claim in stack.list("pvc", NAMESPACE)}


def _secret_is_nowhere(stack: Stack, key: str, encoded: str) -> None:
    everything = stack.cluster.kubectl("get", "all,events,llamas,llamaweights", "-A", "-o", "json")
    pod = stack.list("pods", NAMESPACE, *OURS)[0]["metadata"]["name"]
    logs = (
        stack.cluster.kubectl("logs", pod, "-n", NAMESPACE) + stack.log(OPERATOR) + stack.log(HUB)
    )
    for text in (key, encoded):
        assert text not in everything
        assert text not in logs


def _nothing_is_left(stack: Stack, before: set[str]) -> None:
    weights = stack.get("llama", "smollm2", NAMESPACE)["status"]["weights"]["name"]
    stack.cluster.kubectl("delete", "llama", "smollm2", "-n", NAMESPACE)
    kinds = "pods,deployments,replicasets,services,networkpolicies,jobs,secrets"
    wait_for(
        lambda: not stack.list(kinds, NAMESPACE, *OURS), 120, "everything to be removed", every=1
    )
    kept = stack.get("llamaweights", weights, NAMESPACE)
    assert kept["status"]["conditions"][0]["reason"] == "Published"
    # Weights that other tests of this node keep stay as well.
    assert _claims(stack) == before | {kept["status"]["claimName"]}


def test_llamactl_deploys_what_the_planner_chose_at_two_ranks(stack: Stack) -> None:
    done = llamactl(
        stack, "deploy", TINY, "--name", "two", "--gpus", "2", "--device", "cpu", "--image", VLLM_IMAGE,
        "--runtime-class", RUNTIME_CLASS, "--set", "engine.enforceEager=true",
        "--set", "gpu.resourceName=nvidia.com/gpu", "--timeout", "5m",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + stack.log(OPERATOR)[-2000:]
    pod = stack.list("pods", NAMESPACE, "-l", "llamactl.dev/deployment=two")[0]
    container = pod["spec"]["containers"][0]
    planned = stack.get("llama", "two", NAMESPACE)["status"]["plan"]
    assert planned["tensorParallel"] == 2
    assert "--tensor-parallel-size=2" in container["args"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    key = api_key(stack.get("secret", "two-api-key", NAMESPACE))
    with forwarded(stack.cluster.kubeconfig, "svc/two", 8000, NAMESPACE) as port:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, timeout=120)
        answer = client.completions.create(model=TINY, prompt="a", max_tokens=4, temperature=0)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
    log = stack.cluster.kubectl("logs", pod["metadata"]["name"], "-n", NAMESPACE)
    printed = re.search(r"KV cache size: ([\d,]+) tokens", log)
    assert printed is not None, log[-3000:]
    assert int(printed[1].replace(",", "")) == planned["kvTokens"], (
        "vLLM prints what the planner said"
    )
    _kept(stack, llamactl(stack, "delete", "two", "--yes", "--wait"))


def _kept(stack: Stack, deleted: subprocess.CompletedProcess[str]) -> None:
    assert deleted.returncode == 0, deleted.stderr
    assert "tiny-llama" in deleted.stdout + deleted.stderr, "it says which weights are kept"
    with pytest.raises(ClusterError):
        stack.get("llama", "two", NAMESPACE)


def test_the_same_model_on_two_ranks_is_refused_and_makes_nothing(stack: Stack) -> None:
    manifest = example()
    manifest["metadata"]["name"] = "refused"
    manifest["spec"]["gpu"]["count"] = 2
    stack.cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=json.dumps(manifest))
    try:
        condition = wait_for(
            lambda: _judged(stack.condition("llama", "refused", "Planned", NAMESPACE)),
            30,
            "a judgement",
        )
        assert condition["reason"] == "InvalidParallelism"
        assert "9 attention heads are not divisible by 2" in condition["message"]
        assert "Valid: 1, 3" in condition["message"]
        assert not stack.list(
            "deployments,services", NAMESPACE, "-l", "llamactl.dev/deployment=refused"
        )
    finally:
        stack.cluster.kubectl("delete", "llama", "refused", "-n", NAMESPACE)


def _judged(condition: Object) -> Object | None:
    return condition if condition.get("status") in ("True", "False") else None
