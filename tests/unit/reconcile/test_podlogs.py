"""Logs of containers that ended: read once for each run, from the right run, never in the way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.reconcile.played_kubelets import Kubelets
from tests.unit.runtime.fake_api import FakeApi, Fault

from llama_operator.reconcile import podlogs
from llama_operator.reconcile.podlogs import PodLogs
from llama_operator.runtime import Api

Object = dict[str, Any]
OOM = "torch.OutOfMemoryError: CUDA out of memory."
ENDED = {
    "exitCode": 1,
    "containerID": "containerd://u-1",
    "startedAt": "2026-11-28T10:00:00Z",
    "finishedAt": "2026-11-28T10:01:00Z",
}
OF_RUN = f"2026-11-28T10:00:59.123456789Z {OOM}\n2026-11-28T10:01:01.2Z drained late"
OF_NEXT = "2026-11-28T10:01:01.5Z INFO it starts"


@pytest.fixture
def kubelets(server: FakeApi) -> Kubelets:
    return Kubelets(server, f"{OOM}\nümlaut \xff".encode("latin-1"))


def pod(uid: str = "u", restarts: int = 1, *, state: Object | None = None, **meta: Any) -> Object:
    """A pod whose engine ended `restarts` times and, unless `state` says otherwise, runs again."""
    ended = {"exitCode": 1, "containerID": f"containerd://{uid}-{restarts}"}
    container = {
        "name": "engine",
        "ready": False,
        "restartCount": restarts,
        "state": state or {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": ended},
    }
    return {
        "metadata": {"name": f"pod-{uid}", "namespace": "n", "uid": uid, **meta},
        "status": {"containerStatuses": [container]},
    }


async def test_the_run_that_ended_is_read_with_bounds(api: Api, kubelets: Kubelets) -> None:
    texts = await PodLogs(api).of([pod()])
    assert texts["u"].startswith(OOM)
    assert kubelets.asked == [
        {
            "pod": "pod-u",
            "container": "engine",
            "previous": "true",
            "tailLines": "400",
            "limitBytes": "147456",
            "timestamps": "true",
        }
    ]


async def test_before_the_restart_the_run_that_ended_is_the_present_one(
    api: Api, kubelets: Kubelets
) -> None:
    kubelets.say(OF_RUN)
    logs = PodLogs(api)
    await logs.of([pod(restarts=0, state={"terminated": ENDED})])
    assert "previous" not in kubelets.asked[0]
    await logs.of([pod(restarts=1)])
    assert len(kubelets.asked) == 1, "after the restart it is the same run"


@pytest.mark.parametrize("present", [OF_NEXT, ""])
async def test_what_began_anew_before_the_request_came_is_not_taken_for_the_run_that_ended(
    api: Api, kubelets: Kubelets, present: str
) -> None:
    kubelets.say(present)
    kubelets.before = Fault(raw=OF_RUN.encode())
    logs = PodLogs(api)
    texts = await logs.of([pod(restarts=0, state={"terminated": ENDED})])
    assert texts == {"u": f"{OOM}\ndrained late"}
    assert [each.get("previous") for each in kubelets.asked] == [None, "true"]
    assert await logs.of([pod(restarts=0, state={"terminated": ENDED})]) == texts
    assert len(kubelets.asked) == 2


async def test_a_first_run_that_wrote_nothing_has_no_log(api: Api, kubelets: Kubelets) -> None:
    kubelets.say("")
    kubelets.before = Fault(status=400, reason="BadRequest", message="previous not found")
    logs = PodLogs(api)
    for _ in range(2):
        assert await logs.of([pod(restarts=0, state={"terminated": ENDED})]) == {}
    assert len(kubelets.asked) == 2, "and it is known to have none"


async def test_a_run_that_is_surely_the_one_costs_one_request(api: Api, kubelets: Kubelets) -> None:
    kubelets.say(OF_RUN)
    texts = await PodLogs(api).of([pod(restarts=0, state={"terminated": ENDED})])
    assert texts == {"u": f"{OOM}\ndrained late"}
    assert len(kubelets.asked) == 1


async def test_each_run_is_read_once(api: Api, kubelets: Kubelets) -> None:
    logs = PodLogs(api)
    for restarts in (1, 1, 1, 2, 2):
        assert (await logs.of([pod(restarts=restarts)]))["u"].startswith(OOM)
    assert len(kubelets.asked) == 2


@pytest.mark.parametrize(
    "quiet",
    [
        pod(deletionTimestamp="2026-01-01T00:00:00Z"),
        {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "status": {}},
        {
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "status": {
                "containerStatuses": [
                    {
                        "name": "engine",
                        "ready": True,
                        "lastState": {"terminated": {"exitCode": 1}},
                    }
                ]
            },
        },
    ],
)
async def test_of_pods_that_are_well_or_on_their_way_out_nothing_is_asked(
    api: Api, kubelets: Kubelets, quiet: Object
) -> None:
    assert await PodLogs(api).of([quiet]) == {}
    assert not kubelets.asked


async def test_of_many_pods_some_are_enough(api: Api, kubelets: Kubelets) -> None:
    texts = await PodLogs(api).of([pod(f"u{n}") for n in range(20)])
    assert len(texts) == len(kubelets.asked) == podlogs.PODS_AT_ONCE


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_refusal_is_no_failure_and_not_asked_for_again(
    api: Api, kubelets: Kubelets, status: int
) -> None:
    kubelets.fault = Fault(status=status, reason="No", message="previous container not found")
    logs = PodLogs(api)
    assert await logs.of([pod()]) == {}
    assert await logs.of([pod()]) == {}
    assert len(kubelets.asked) == 1


@pytest.mark.parametrize(
    "fault", [Fault(cut=True), Fault(status=500, reason="No", message="dial tcp: refused")]
)
async def test_a_node_that_fails_is_asked_again_after_a_while(
    api: Api, kubelets: Kubelets, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(podlogs, "RETRY_SECONDS", 0.5)
    good, kubelets.fault = kubelets.fault, fault
    logs = PodLogs(api)
    assert await logs.of([pod()]) == {}
    kubelets.fault, asked = good, len(kubelets.asked)
    assert await logs.of([pod()]) == {}
    assert len(kubelets.asked) == asked, "not at each event"
    await asyncio.sleep(0.6)
    assert "u" in await logs.of([pod()])


async def test_a_node_that_does_not_answer_holds_nothing_up(
    api: Api, kubelets: Kubelets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podlogs, "SECONDS", 0.1)
    kubelets.fault = Fault(delay=1, raw=b"late")
    started = asyncio.get_running_loop().time()
    assert await PodLogs(api).of([pod("a"), pod("b")]) == {}
    assert asyncio.get_running_loop().time() - started < 0.9
    assert not api.breaker.open, "a node is not the API server"


async def test_what_is_kept_is_bounded(
    api: Api, kubelets: Kubelets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podlogs, "KEPT", 3)
    logs = PodLogs(api)
    for restarts in range(10):
        await logs.of([pod(restarts=restarts)])
    await logs.of([pod(restarts=9)])
    assert len(kubelets.asked) == 10
    await logs.of([pod(restarts=0)])
    assert len(kubelets.asked) == 11, "the oldest was let go"
