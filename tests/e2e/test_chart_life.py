"""The chart's life on a node: install, `helm test`, upgrade to another image, uninstall, and again.

Weights that were fetched are there all the while; in the long test a server of real vLLM as well, which
must not notice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import TINY
from tests.support.cluster import Cluster
from tests.support.cluster.pki import Authority
from tests.support.cluster.testing import can_run_pods
from tests.support.images import builders, make
from tests.support.models import tiny
from tests.support.release import NAME, REPOSITORIES, Release
from tests.support.stack import NAMESPACE, RUNTIME_CLASS, VLLM_IMAGE, Stack, wait_for

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]
Object = dict[str, Any]
SERVED, KEPT, SERVER = "served", "kept", "tiny"
SECRET = "metrics-tls"
CRDS = {"llamadeployments.llamactl.dev", "llamaweights.llamactl.dev"}
# Weights are in another namespace. The lease is the operator's own, and ends; the Secret is the test's.
STAY = {
    *(f"customresourcedefinition.apiextensions.k8s.io/{name}" for name in CRDS),
    "apiservice.apiregistration.k8s.io/v1alpha1.llamactl.dev",
    f"lease.coordination.k8s.io/{NAME}",
    f"secret/{SECRET}",
}
NEXT = "next"
VOLUMES = "persistentvolume/"
Servers = set[tuple[str, int]]
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


def test_the_chart_comes_changes_and_goes_and_weights_stay(stack: Stack) -> None:
    _life(stack, set)


@pytest.mark.slow
@pytest.mark.vllm
def test_the_chart_comes_changes_and_goes_and_no_server_restarts(stack: Stack) -> None:
    _life(stack, lambda: _servers(stack), _serve)


def _life(
    stack: Stack, servers: Callable[[], Servers], serve: Callable[[Stack], None] | None = None
) -> None:
    release, before = _release(stack), _names(stack)
    soon = {"readinessProbe": {"periodSeconds": 1}}
    values = {"weights": {"hubEndpoint": stack.hub}, "operator": soon}
    release.install(values)
    assert "Phase:          Succeeded" in release.helm("test", NAME, "--timeout=120s")
    claim = _fetched(stack)
    if serve:
        serve(stack)
    running = servers()

    _load_next(stack)
    _secret(stack)
    secured = {"tls": {"secretName": SECRET}}
    release.install({**values, "image": {"tag": NEXT}, "metrics": secured})
    assert "Phase:          Succeeded" in release.helm("test", NAME, "--timeout=120s")
    assert _images(stack) == {f"{REPOSITORIES['operator']}:{NEXT}"}
    _judged_by_the_new_one(stack)
    assert servers() == running

    release.helm("uninstall", NAME, "--timeout=120s")
    try:
        wait_for(lambda: not _left(stack, before), 120, "all that the chart made to be removed")
    except TimeoutError as late:
        raise AssertionError(f"{late}; left are {_left(stack, before)}") from None
    assert {each["metadata"]["name"] for each in stack.list("crds")} == CRDS
    assert stack.condition("llamaweights", KEPT, "Ready", SERVED)["status"] == "True"
    assert stack.get("pvc", claim, SERVED)["status"]["phase"] == "Bound"
    assert servers() == running

    if serve:
        release.install(values)
        _judged_by_the_new_one(stack)
        assert servers() == running


def _release(stack: Stack) -> Release:
    assert stack.release is not None
    return stack.release


def _secret(stack: Stack) -> None:
    """The certificate of the operator's port: the kubelet probes over TLS, and `helm test` verifies."""
    authority = Authority(stack.cluster.directory / "metrics")
    authority.create()
    pair = authority.server("metrics", NAME, [f"{NAME}.{NAMESPACE}.svc"])
    files = (f"--from-file=tls.crt={pair.certificate}", f"--from-file=tls.key={pair.key}")
    ca = f"--from-file=ca.crt={authority.ca.certificate}"
    stack.cluster.kubectl("create", "secret", "generic", SECRET, "-n", NAMESPACE, *files, ca)


def _load_next(stack: Stack) -> None:
    """An image that is another one, by content and by tag."""
    builder, tag = builders.find(), f"{REPOSITORIES['operator']}:{NEXT}"
    builder.derive(tag, make.local()["operator"], ["ENV LLAMA_LIFE=next"])
    archive = stack.cluster.directory / "next.tar"
    builder.save(tag, archive)
    stack.cluster.import_image(tag, archive)


def _fetched(stack: Stack) -> str:
    """The claim of weights that were fetched."""
    _apply(stack, "LlamaWeights", KEPT, {"model": TINY})
    return str(stack.get("llamaweights", KEPT, SERVED)["status"]["claimName"])


def _serve(stack: Stack) -> None:
    _apply(stack, "LlamaDeployment", SERVER, {
        "model": TINY,
        "weightsRef": {"name": KEPT},
        "gpu": {"count": 1},
        "runtimeClassName": RUNTIME_CLASS,
        "engine": {"device": "cpu", "image": VLLM_IMAGE, "enforceEager": True},
    })  # fmt: skip


def _apply(stack: Stack, kind: str, name: str, spec: Object) -> None:
    meta = {"name": name, "namespace": SERVED}
    wish = {"apiVersion": "llamactl.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(wish))
    ready = ("--for=condition=Ready", "--timeout=300s", f"{kind}/{name}")
    stack.cluster.kubectl("wait", "-n", SERVED, *ready, timeout=310)


def _servers(stack: Stack) -> Servers:
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
    """A wish that only an operator that runs can answer, and that changes no file and no server."""
    spec = stack.get("llamaweights", KEPT, SERVED)["spec"]
    policy = "Delete" if spec.get("retention", {}).get("policy") == "Retain" else "Retain"
    patch = json.dumps({"spec": {"retention": {"policy": policy}}})
    target = ("llamaweights", KEPT, "-n", SERVED)
    stack.cluster.kubectl("patch", *target, "--type=merge", "-p", patch)
    wait_for(lambda: _observed(stack), 90, "the operator to look at the changed spec")


def _observed(stack: Stack) -> bool:
    found = stack.get("llamaweights", KEPT, SERVED)
    return bool(found["metadata"]["generation"] == found["status"]["observedGeneration"])


def _left(stack: Stack, before: set[str]) -> set[str]:
    """What the cluster has now and had not before, but for what shall stay."""
    stay = before | STAY | _addresses(stack)
    return {each for each in _names(stack) - stay if not each.startswith(VOLUMES)}


def _addresses(stack: Stack) -> set[str]:
    """Those of Services of other namespaces: of the server, which the chart did not make."""
    return {
        f"ipaddress.networking.k8s.io/{each['metadata']['name']}"
        for each in stack.list("ipaddresses")
        if each["spec"]["parentRef"]["namespace"] != NAMESPACE
    }


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
