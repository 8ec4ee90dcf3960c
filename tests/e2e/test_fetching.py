"""Real fetch Jobs against a hub that fails in every way, and volumes that are of no use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.conftest import NAMESPACE, TINY
from tests.support.cluster.testing import claim, mounting, python_pod
from tests.support.hub import Hub, Repository, parse_fault
from tests.support.models import tiny
from tests.support.stack import Stack, wait_for

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]
Object = dict[str, Any]


@pytest.fixture
def names(stack: Stack) -> Iterator[list[str]]:
    """Names of LlamaWeights to delete at the end."""
    used: list[str] = []
    yield used
    for name in used:
        stack.cluster.kubectl("delete", "llamaweights", name, "-n", NAMESPACE, "--ignore-not-found")


def weights(stack: Stack, name: str, **spec: Any) -> None:
    obj = {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": "LlamaWeights",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"model": TINY, **spec},
    }
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(obj))


def settles(stack: Stack, name: str, which: str, reason: str, seconds: float = 90) -> Object:
    """The condition, once it has this reason."""

    def found() -> Object | None:
        condition = stack.condition("llamaweights", name, which, NAMESPACE)
        return condition if condition.get("reason") == reason else None

    try:
        condition: Object = wait_for(found, seconds, f"{which}={reason}", every=0.5)
    except TimeoutError as error:
        status = stack.get("llamaweights", name, NAMESPACE).get("status")
        raise AssertionError(f"{error}\n{json.dumps(status, indent=1)}") from None
    return condition


@pytest.fixture
def hub(stack: Stack) -> Iterator[Any]:
    """Starts hubs of this process on the address that pods can reach."""
    hubs: list[Hub] = []

    def start(*faults: str, **options: Any) -> Hub:
        repository = Repository.scan(TINY, tiny(), **options)
        made = Hub(
            [repository], faults=[parse_fault(f) for f in faults], host=stack.cluster.host_address
        )
        made.__enter__()
        hubs.append(made)
        return made

    yield start
    for made in hubs:
        made.__exit__(None, None, None)


FAULTS = [
    ("unauthorised", "401", "Accessible", "TokenMissing", "token"),
    ("gated", "403:code=GatedRepo", "Accessible", "TokenMissing", "tokenSecretRef"),
    ("absent", "404", "Accessible", "NotFound", TINY),
    ("limited", "429:retry_after=1", "Accessible", "RateLimited", "429"),
    ("broken", "500", "Accessible", "ServerError", "500"),
    ("page", "html:on=tree", "Accessible", "EndpointUnreachable", "web page"),
    ("wrong", "corrupt:on=cdn", "Verified", "ChecksumMismatch", "safetensors"),
]


@pytest.mark.parametrize(
    ("name", "fault", "which", "reason", "word"), FAULTS, ids=[f[0] for f in FAULTS]
)
def test_a_hub_that_fails_is_named_with_its_reason(
    stack: Stack,
    hub: Any,
    names: list[str],
    name: str,
    fault: str,
    which: str,
    reason: str,
    word: str,
) -> None:
    names.append(name)
    weights(stack, name, source={"huggingFace": {"endpoint": hub(fault).url}})
    condition = settles(stack, name, which, reason)
    assert condition["status"] == "False"
    assert word.lower() in condition["message"].lower()
    assert "digest" not in stack.get("llamaweights", name, NAMESPACE)["status"]


def test_a_body_that_is_cut_once_is_resumed(stack: Stack, hub: Any, names: list[str]) -> None:
    names.append("cut")
    weights(
        stack, "cut", source={"huggingFace": {"endpoint": hub("cut:on=cdn,after=1000,times=1").url}}
    )
    settles(stack, "cut", "Ready", "Published")


def test_a_volume_without_room_is_full_and_then_filled_when_there_is_room(
    stack: Stack, hub: Any, names: list[str]
) -> None:
    names.append("full")
    small = claim("small", "local-limited", "2Mi")
    small["metadata"]["namespace"] = NAMESPACE
    filler = python_pod(
        "filler", "open('/data/big', 'wb').write(b'x' * 1500000)", **mounting("small")
    )
    filler["metadata"]["namespace"] = NAMESPACE
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(small))
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(filler))
    try:
        wait_for(
            lambda: stack.get("pod", "filler", NAMESPACE)["status"].get("phase") == "Succeeded",
            60,
            "filler",
        )
        source = {"huggingFace": {"endpoint": hub().url}}
        weights(stack, "full", source=source, storage={"claimName": "small"})
        condition = settles(stack, "full", "VolumeReady", "Full")
        assert "spec.storage.size" in condition["message"] or "free" in condition["message"].lower()
    finally:
        stack.cluster.kubectl("delete", "pod", "filler", "-n", NAMESPACE, "--grace-period=1")
        stack.cluster.kubectl("delete", "llamaweights", "full", "-n", NAMESPACE)
        stack.cluster.kubectl("delete", "pvc", "small", "-n", NAMESPACE)


def test_progress_is_reported_by_the_job_and_removed_at_the_end(
    stack: Stack, hub: Any, names: list[str]
) -> None:
    names.append("slow")
    weights(stack, "slow", source={"huggingFace": {"endpoint": hub("slow:on=cdn,rate=120000").url}})
    settles(stack, "slow", "Downloaded", "Downloading")
    progress = wait_for(
        lambda: stack.get("llamaweights", "slow", NAMESPACE)["status"].get("progress"),
        60,
        "progress",
    )
    assert 0 <= progress["bytesDone"] <= progress["bytesTotal"]
    settles(stack, "slow", "Ready", "Published")
    wait_for(
        lambda: "progress" not in stack.get("llamaweights", "slow", NAMESPACE)["status"],
        20,
        "its removal",
    )
