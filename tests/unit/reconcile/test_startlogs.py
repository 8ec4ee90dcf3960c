"""Starts are followed at a bounded rate, and what cannot be read counts as moving."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.reconcile.played_kubelets import Kubelets
from tests.unit.runtime.fake_api import FakeApi, Fault

from llama_operator.reconcile import startlogs
from llama_operator.reconcile.snapshot import FOLLOW_SECONDS
from llama_operator.reconcile.startlogs import StartLogs
from llama_operator.runtime import Api, FakeClock

Object = dict[str, Any]
LOADING = "Loading safetensors checkpoint shards:  25% Completed | 1/4"


@pytest.fixture
def kubelets(server: FakeApi) -> Kubelets:
    return Kubelets(server, LOADING.encode())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def logs(api: Api, clock: FakeClock) -> StartLogs:
    return StartLogs(api, clock)


def pod(uid: str = "u", run: str = "1", *, ready: bool = False, **meta: Any) -> Object:
    box = {
        "name": "engine",
        "containerID": f"containerd://{uid}-{run}",
        "ready": ready,
        "started": ready,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }
    return {
        "metadata": {"name": f"pod-{uid}", "namespace": "n", "uid": uid, **meta},
        "status": {"containerStatuses": [box]},
    }


async def silence(logs: StartLogs, clock: FakeClock, seconds: float) -> float:
    """How silent the pod is after some time of being followed."""
    end = clock.monotonic() + seconds
    found = await logs.follow([pod()])
    while clock.monotonic() < end:
        clock.advance(FOLLOW_SECONDS)
        found = await logs.follow([pod()])
    return found["u"].silent_seconds


async def test_a_start_that_writes_nothing_grows_silent(
    logs: StartLogs, kubelets: Kubelets, clock: FakeClock
) -> None:
    assert await silence(logs, clock, 300) == 300 - FOLLOW_SECONDS
    kubelets.say(LOADING.replace("25%", "50%"))
    assert await silence(logs, clock, 30) == 0
    assert (await logs.follow([pod()]))["u"].phase == "LoadingWeights"
    assert kubelets.asked[0]["tailLines"] == "50"


async def test_the_rate_is_bounded_whatever_happens_to_the_pod(
    logs: StartLogs, kubelets: Kubelets, clock: FakeClock
) -> None:
    for _ in range(100):
        clock.advance(1)
        await logs.follow([pod()])
    assert len(kubelets.asked) == 100 // FOLLOW_SECONDS


async def test_what_cannot_be_read_counts_as_moving(
    logs: StartLogs, kubelets: Kubelets, clock: FakeClock
) -> None:
    kubelets.fault = Fault(status=500)
    assert await silence(logs, clock, 900) == 0


async def test_an_empty_log_is_silence_while_importing(
    logs: StartLogs, kubelets: Kubelets, clock: FakeClock
) -> None:
    kubelets.say("")
    assert await silence(logs, clock, 900) == 900
    assert (await logs.follow([pod()]))["u"].phase == "Importing"


async def test_a_new_run_of_the_container_starts_anew(
    logs: StartLogs, kubelets: Kubelets, clock: FakeClock
) -> None:
    await silence(logs, clock, 600)
    found = await logs.follow([pod(run="2")])
    assert (found["u"].phase, found["u"].silent_seconds) == ("", 0)


async def test_nobody_else_is_followed(logs: StartLogs, kubelets: Kubelets) -> None:
    waiting = pod("w")
    waiting["status"]["containerStatuses"][0]["state"] = {"waiting": {}}
    going = pod("g", deletionTimestamp="2026-01-01T00:00:00Z")
    assert await logs.follow([pod("r", ready=True), waiting, going]) == {}
    assert kubelets.asked == []


async def test_few_of_many_are_followed_at_once(logs: StartLogs) -> None:
    found = await logs.follow([pod(f"u{n}") for n in range(9)])
    assert len(found) == startlogs.PODS_AT_ONCE


async def test_the_head_of_one_serving_pods_log_is_read_once(
    logs: StartLogs, kubelets: Kubelets
) -> None:
    kubelets.say("vLLM API server version 0.32.0\nGPU KV cache size: 1,024 tokens\n")
    pods = [
        pod("b", ready=True, creationTimestamp="2026-01-02T00:00:00Z"),
        pod("a", ready=True, creationTimestamp="2026-01-01T00:00:00Z"),
        pod("c"),
    ]
    assert await logs.told(pods, known="pod-b") is None
    found = await logs.told(pods, known="pod-gone")
    assert found is not None
    assert (found[0]["metadata"]["uid"], found[1].kv_tokens) == ("a", 1024)
    assert await logs.told(pods, known="pod-gone") is None
    assert [each["pod"] for each in kubelets.asked] == ["pod-a"]
    assert "tailLines" not in kubelets.asked[0]


async def test_a_head_that_cannot_be_read_is_no_failure(
    logs: StartLogs, kubelets: Kubelets
) -> None:
    kubelets.fault = Fault(status=403)
    assert await logs.told([pod(ready=True)], "") is None
    assert await logs.told([pod(ready=True)], "") is None
    assert len(kubelets.asked) == 1
