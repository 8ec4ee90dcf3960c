"""The chart's life on a node: install, `helm test`, upgrade to another image, uninstall, and again.

A server of real vLLM runs all the while, and must not notice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import TINY
from tests.support.cluster import Cluster
from tests.support.cluster.testing import can_run_pods
from tests.support.images import builders, make
from tests.support.models import tiny
from tests.support.release import NAME, REPOSITORIES, Release
from tests.support.stack import NAMESPACE, RUNTIME_CLASS, VLLM_IMAGE, Stack, wait_for

pytestmark = [pytest.mark.node, pytest.mark.vllm, pytest.mark.timeout(600)]
Object = dict[str, Any]
SERVED, SERVER = "served", "tiny"
CRDS = {"llamadeployments.llamactl.dev", "llamaweights.llamactl.dev"}
NEXT = "next"
# Kubernetes writes these itself, about everything, and ends them by itself.
_NOT_OURS = {"events", "events.events.k8s.io", "endpoints", "bindings"}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A node of its own, with a hub, and nothing of the chart."""
    if not can_run_pods():
        pytest.skip("this machine cannot run pods: `make cluster-doctor` says what is missing")
    with Cluster.full(tmp_path / "cluster", gpus=1) as cluster:
        made = Stack(cluster)
        _release(made).load()
        cluster.kubectl("create", "namespace", SERVED)
        label = "pod-security.kubernetes.io/enforce=restricted"
        cluster.kubectl("label", "namespace", SERVED, label)
        made.start_hub({TINY: tiny()})
        yield made


def test_install_test_upgrade_uninstall_and_install_again(stack: Stack) -> None:
    release, before = _release(stack), _names(stack)
    values = {"weights": {"hubEndpoint": stack.hub}}
    release.install(values)
    assert "Phase:          Succeeded" in release.helm("test", NAME, "--timeout=120s")
    server = _served(stack)

    _load_next(stack)
    release.install({**values, "image": {"tag": NEXT}})
    assert _images(stack) == {f"{REPOSITORIES['operator']}:{NEXT}"}
    _judged_by_the_new_one(stack)
    assert _servers(stack) == server

    claim = stack.get("llamaweights", "tiny-llama", SERVED)["status"]["claimName"]
    release.helm("uninstall", NAME, "--timeout=120s")
    wait_for(lambda: _left(stack, before) == CRDS, 60, f"{_left(stack, before)} to be removed")
    assert stack.condition("llamaweights", "tiny-llama", "Ready", SERVED)["status"] == "True"
    assert stack.get("pvc", claim, SERVED)["status"]["phase"] == "Bound"
    assert _servers(stack) == server

    release.install(values)
    _judged_by_the_new_one(stack)
    assert _servers(stack) == server


def _release(stack: Stack) -> Release:
    assert stack.release is not None
    return stack.release


def _load_next(stack: Stack) -> None:
    """An image that is another one, by content and by tag."""
    builder, tag = builders.find(), f"{REPOSITORIES['operator']}:{NEXT}"
    builder.derive(tag, make.local()["operator"], ["ENV LLAMA_LIFE=next"])
    archive = stack.cluster.directory / "next.tar"
    builder.save(tag, archive)
    stack.cluster.import_image(tag, archive)


def _served(stack: Stack) -> set[tuple[str, int]]:
    wish = {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": "LlamaDeployment",
        "metadata": {"name": SERVER, "namespace": SERVED},
        "spec": {
            "model": TINY,
            "gpu": {"count": 1},
            "runtimeClassName": RUNTIME_CLASS,
            "engine": {"device": "cpu", "image": VLLM_IMAGE, "enforceEager": True},
        },
    }
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(wish))
    ready = ("--for=condition=Ready", "--timeout=300s", f"llama/{SERVER}")
    stack.cluster.kubectl("wait", "-n", SERVED, *ready, timeout=310)
    return _servers(stack)


def _servers(stack: Stack) -> set[tuple[str, int]]:
    """Each pod of the server that is ready, and how often it has started again."""
    of_server = ("-l", f"llamactl.dev/deployment={SERVER}")
    found = {
        (pod["metadata"]["uid"], status["restartCount"])
        for pod in stack.list("pods", SERVED, *of_server)
        for status in pod["status"]["containerStatuses"]
        if status["ready"]
    }
    assert found
    return found


def _images(stack: Stack) -> set[str]:
    mine = ("-l", f"app.kubernetes.io/instance={NAME}", "--field-selector=status.phase=Running")
    pods = [
        pod
        for pod in stack.list("pods", NAMESPACE, *mine)
        if "deletionTimestamp" not in pod["metadata"]
    ]
    assert len(pods) == 2, "two operators by default"
    return {pod["spec"]["containers"][0]["image"] for pod in pods}


def _judged_by_the_new_one(stack: Stack) -> None:
    """A wish that only an operator can answer, and that changes no server."""
    target = ("llama", SERVER, "-n", SERVED)
    spec = stack.get("llama", SERVER, SERVED)["spec"]
    kept = spec.get("rollout", {}).get("historyLimit", 5)
    patch = {"spec": {"rollout": {"historyLimit": kept + 1}}}
    stack.cluster.kubectl("patch", *target, "--type=merge", "-p", json.dumps(patch))
    wait_for(lambda: _observed(stack), 90, "the operator to look at the changed spec")


def _observed(stack: Stack) -> bool:
    found = stack.get("llama", SERVER, SERVED)
    return bool(found["metadata"]["generation"] == found["status"]["observedGeneration"])


def _left(stack: Stack, before: set[str]) -> set[str]:
    """What the cluster has now and had not before, by name."""
    return {each.partition("/")[2] for each in _names(stack) - before}


def _names(stack: Stack) -> set[str]:
    """`kind/name` of everything of the cluster and of the chart's namespace."""
    return _listed(stack, True) | _listed(stack, False)


def _listed(stack: Stack, namespaced: bool) -> set[str]:
    kubectl = stack.cluster.kubectl
    kinds = set(
        kubectl("api-resources", "--verbs=list", f"--namespaced={str(namespaced).lower()}",
                "-o", "name").split()
    )  # fmt: skip
    where = ("-n", NAMESPACE) if namespaced else ()
    return set(kubectl("get", ",".join(sorted(kinds - _NOT_OURS)), *where, "-o", "name").split())
