"""Pods whose GPUs are claimed of a device class, by real scheduler, controllers, kubelet and driver.

The driver is one of Kubernetes' own library, and its devices do not exist; so servers are stubs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import NAMESPACE, TINY
from tests.support import dra
from tests.support.stack import RUNTIME_CLASS, Stack, wait_for

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.timeout(600)]
Object = dict[str, Any]
NAME, DEVICES = "claiming", 3
SELECTOR = f"llamactl.dev/deployment={NAME}"
# A class of another name than its driver's; it is not there at first.
OTHER = "cards.example.com"
SECONDS = 120


@pytest.fixture
def prepared(stack: Stack, tmp_path: Path) -> Iterator[Path]:
    """Where the driver tells what it has prepared."""
    dra.load_engine(stack.cluster, tmp_path)
    with dra.installed(stack.cluster, DEVICES) as path:
        yield path
        stack.cluster.kubectl("delete", "deviceclass", OTHER, "--ignore-not-found")


def manifest() -> Object:
    # The one node has two processors, and more pods than these.
    resources = {"requests": {"cpu": "50m", "memory": "64Mi"}}
    engine = {
        "device": "cpu",
        "image": dra.ENGINE_IMAGE,
        "enforceEager": True,
        "resources": resources,
    }
    spec = {
        "model": TINY,
        "gpu": {"count": 1, "deviceClassName": OTHER},
        "engine": engine,
        "runtimeClassName": RUNTIME_CLASS,
        "drain": {"timeout": "5s"},
    }
    meta = {"name": NAME, "namespace": NAMESPACE}
    wish = {"apiVersion": "llamactl.dev/v1alpha1", "kind": "LlamaDeployment", "metadata": meta}
    return {**wish, "spec": spec}


def test_servers_claim_are_scaled_replaced_and_leave_nothing(stack: Stack, prepared: Path) -> None:
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest()))
    try:
        _waits_for_its_class(stack)
        wait_for(lambda: _ready(stack), SECONDS, "a server", every=1)
        (first,) = _templates(stack)
        (only,) = _held(stack, prepared).values()
        _patch(stack, replicas=2)
        wait_for(
            lambda: _ready(stack) and len(_held(stack, prepared)) == 2, SECONDS, "two", every=1
        )
        held = _held(stack, prepared)
        assert only in held.values()
        assert len(set(held.values())) == 2, "a device is one server's"
        assert _templates(stack) == {first}
        _changes_its_class(stack, prepared, first, set(held))
        _says_that_no_device_is_left(stack)
    except (TimeoutError, AssertionError) as error:
        raise AssertionError(f"{error}\n{_told(stack)}") from None
    finally:
        stack.cluster.kubectl("delete", "llama", NAME, "-n", NAMESPACE)
    wait_for(lambda: not _templates(stack) and not _claims(stack), 120, "all to be gone", every=1)
    wait_for(lambda: not list(prepared.iterdir()), 60, "devices to be given back", every=1)


def _waits_for_its_class(stack: Stack) -> None:
    def missing() -> bool:
        found = stack.condition("llama", NAME, "Degraded", NAMESPACE)
        return found.get("reason") == "DependencyMissing" and OTHER in found["message"]

    wait_for(missing, SECONDS, "the missing class to be said", every=1)
    assert _templates(stack) == set()
    other = {**dra.CLASS, "metadata": {"name": OTHER}}
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(other))


def _changes_its_class(stack: Stack, prepared: Path, first: str, before: set[str]) -> None:
    """Of a class whose devices are known, those that are free are counted."""
    _patch(stack, gpu={"deviceClassName": dra.NAME})

    def replaced() -> bool:
        held = _held(stack, prepared)
        return _ready(stack) and len(held) == 2 and not before & set(held)

    wait_for(replaced, SECONDS, "servers of the other class", every=1)
    told = stack.get("llama", NAME, NAMESPACE)["status"]["rollout"]
    assert (told["strategy"], told["freeGPUs"]) == ("Surge", DEVICES - 2)
    wait_for(lambda: first not in _templates(stack), 60, "the old template to go", every=1)
    assert len(_templates(stack)) == 1


def _says_that_no_device_is_left(stack: Stack) -> None:
    _patch(stack, replicas=DEVICES + 1)

    def said() -> bool:
        found = stack.condition("llama", NAME, "Degraded", NAMESPACE)
        return (
            found.get("reason") == "Unschedulable"
            and "spec.gpu.deviceClassName" in found["message"]
        )

    wait_for(said, 120, "the pod without a device to be told of", every=1)


def _held(stack: Stack, prepared: Path) -> dict[str, str]:
    """UID of each server that runs -> the device that was claimed and prepared for it."""
    claims = {claim["metadata"]["name"]: claim for claim in _claims(stack)}
    held = {}
    for pod in _pods(stack):
        (status,) = pod["status"].get("resourceClaimStatuses") or [{}]
        claim = claims.get(status.get("resourceClaimName", ""), {})
        results = (
            claim.get("status", {}).get("allocation", {}).get("devices", {}).get("results", ())
        )
        if not results or pod["status"]["phase"] != "Running":
            continue
        (result,), uid = results, pod["metadata"]["uid"]
        assert [each["uid"] for each in claim["status"]["reservedFor"]] == [uid]
        file = prepared / claim["metadata"]["uid"]
        assert file.read_text().split() == [result["device"]], "the kubelet had it prepared"
        held[uid] = result["device"]
    return held


def _pods(stack: Stack) -> list[Object]:
    found = stack.list("pods", NAMESPACE, "-l", f"{SELECTOR},app.kubernetes.io/component=server")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def _claims(stack: Stack) -> list[Object]:
    return stack.list("resourceclaims", NAMESPACE)


def _templates(stack: Stack) -> set[str]:
    return {each["metadata"]["name"] for each in stack.list("resourceclaimtemplates", NAMESPACE)}


def _ready(stack: Stack) -> bool:
    return stack.condition("llama", NAME, "Ready", NAMESPACE).get("status") == "True"


def _patch(stack: Stack, **spec: Any) -> None:
    wanted = json.dumps({"spec": spec})
    stack.cluster.kubectl("patch", "llama", NAME, "-n", NAMESPACE, "--type=merge", "-p", wanted)


def _told(stack: Stack) -> str:
    status = stack.get("llama", NAME, NAMESPACE).get("status", {})
    parts = [status, _claims(stack), [pod["status"] for pod in _pods(stack)]]
    text = "\n".join(json.dumps(part, indent=1) for part in parts)
    return f"{text}\n{stack.log(dra.PROGRAM)[-2000:]}"
