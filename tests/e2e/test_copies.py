"""Copies after their fetch, on a real node: read again by schedule, and served from where they lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.command import llamactl
from tests.e2e.conftest import NAMESPACE
from tests.e2e.test_fetching import settles, weights
from tests.support.cluster.testing import claim, mounting, python_pod
from tests.support.stack import Stack, wait_for

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]
Object = dict[str, Any]


@pytest.fixture
def volume(stack: Stack) -> Iterator[str]:
    """A claim of the user."""
    made = claim("mine", "local", "64Mi")
    made["metadata"]["namespace"] = NAMESPACE
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(made))
    yield "mine"
    for name in ("placed", "fetched"):
        stack.cluster.kubectl("delete", "llamaweights", name, "-n", NAMESPACE, "--ignore-not-found")
    stack.cluster.kubectl("delete", "pvc", "mine", "-n", NAMESPACE)


def on_the_volume(stack: Stack, name: str, code: str) -> None:
    """Run Python with the claim at /data."""
    pod = python_pod(name, code, **mounting("mine"))
    pod["metadata"]["namespace"] = NAMESPACE
    # The files are the fetch Job's, which others may only read.
    pod["spec"]["securityContext"] |= {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(pod))
    try:
        wait_for(
            lambda: stack.get("pod", name, NAMESPACE)["status"].get("phase") == "Succeeded",
            60,
            name,
        )
    finally:
        stack.cluster.kubectl("delete", "pod", name, "-n", NAMESPACE, "--grace-period=1")


def due(stack: Stack, name: str) -> None:
    """As if the last look had been long ago."""
    patch = json.dumps({"status": {"lastVerifiedAt": "2020-01-01T00:00:00Z"}})
    stack.cluster.kubectl(
        "patch", "llamaweights", name, "-n", NAMESPACE, "--subresource=status", "--type=merge",
        f"--patch={patch}",
    )  # fmt: skip


def looked_again(stack: Stack, name: str) -> Object | None:
    status: Object = stack.get("llamaweights", name, NAMESPACE)["status"]
    return status if status["lastVerifiedAt"] > "2021" else None


def test_a_copy_is_read_again_and_a_changed_byte_is_found(stack: Stack, volume: str) -> None:
    weights(stack, "fetched", storage={"claimName": volume}, verify={"schedule": "Daily"})
    settles(stack, "fetched", "Ready", "Published")
    status = stack.get("llamaweights", "fetched", NAMESPACE)["status"]
    path = status["path"]
    asked = llamactl(stack, "weights", "verify", "fetched", "--wait", "--timeout", "60s")
    assert asked.returncode == 0, asked.stderr
    assert "every byte is as it was published" in asked.stdout
    # The same files, taken for a user's own.
    weights(
        stack,
        "placed",
        source={"claim": {"name": volume, "path": path}},
        verify={"schedule": "Daily"},
    )
    settles(stack, "placed", "Ready", "Published")
    placed = stack.get("llamaweights", "placed", NAMESPACE)["status"]
    assert (placed["claimName"], placed["path"]) == (volume, path)
    assert placed["digest"] == status["digest"]
    on_the_volume(
        stack,
        "spoiler",
        f"f = open('/data/{path}/model.safetensors', 'r+b'); f.seek(-1, 2); "
        "b = f.read(1); f.seek(-1, 2); f.write(bytes([b[0] ^ 1]))",
    )
    for name in ("fetched", "placed"):
        due(stack, name)
        condition = settles(stack, name, "Verified", "ChecksumMismatch", 60)
        assert "model.safetensors" in condition["message"]
        assert stack.condition("llamaweights", name, "Ready", NAMESPACE)["status"] == "False"
    claims = {each["metadata"]["name"] for each in stack.list("pvc", NAMESPACE)}
    assert "placed" not in claims, "nothing is made for files that are there"


def test_a_claim_that_is_not_there_and_one_without_a_model(stack: Stack, volume: str) -> None:
    weights(stack, "fetched", source={"claim": {"name": "nowhere"}})
    missing = settles(stack, "fetched", "Ready", "ClaimMissing", 15)
    assert "spec.source.claim.name" in missing["message"]
    weights(stack, "placed", source={"claim": {"name": volume, "path": "no/such"}})
    empty = settles(stack, "placed", "Ready", "FilesMissing")
    assert "spec.source.claim.path" in empty["message"]
