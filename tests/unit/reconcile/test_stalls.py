"""A server that hangs while it starts is replaced, and nobody else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import deployment, ready_weights
from tests.support.memory import Memory
from tests.unit.reconcile.test_status import NOW, of_this_template, running, snapshot

from llama_operator.diagnose.startup import Told
from llama_operator.reconcile import stalls, status
from llama_operator.reconcile.actions import Delete
from llama_operator.reconcile.apply import Applier
from llama_operator.reconcile.decide import decide
from llama_operator.reconcile.snapshot import FOLLOW_SECONDS, DeploymentView, Start
from llama_operator.runtime.errors import Conflict

Object = dict[str, Any]
POD: Object = {
    "kind": "Pod",
    "metadata": {"name": "web-1", "namespace": "default", "uid": "p", "resourceVersion": "7"},
    "status": {},
}


def seen(phase: str, silent: float, raw: Object | None = None, **change: Any) -> DeploymentView:
    raw = raw or deployment()
    made = running(raw, ready=0)
    pod = of_this_template(made, POD)
    return snapshot(raw, made, pods=(pod,), starts={"p": Start(phase, silent)}, **change)


def removed(view: DeploymentView) -> list[Delete]:
    return [
        each for each in decide(view).actions if isinstance(each, Delete) and each.kind == "Pod"
    ]


def progressing(view: DeploymentView) -> Object:
    built = status.build(view, decide(view), None, NOW)
    found: Object = next(each for each in built["conditions"] if each["type"] == "Progressing")
    return found


@pytest.mark.parametrize(
    ("phase", "limit"),
    [
        ("Importing", 600),
        ("LoadingWeights", 300 + 50),
        ("Compiling", 600),
        ("CapturingGraphs", 600),
    ],
)
def test_silence_beyond_what_the_phase_may_take_is_a_stall(phase: str, limit: float) -> None:
    assert removed(seen(phase, limit - 1)) == []
    (gone,) = removed(seen(phase, limit))
    assert (gone.name, gone.uid, gone.version, gone.grace_seconds) == ("web-1", "p", "7", 5)


def test_a_start_that_was_never_read_is_left_alone() -> None:
    assert removed(seen("", 10**6)) == []


def test_a_volume_that_was_slow_before_may_be_silent_for_longer() -> None:
    raw = deployment()
    copy = ready_weights(raw)
    raw["status"] = {
        "weights": {"digest": copy["status"]["digest"]},
        "coldStart": {"loadSeconds": copy["status"]["bytes"] // 10**7},
    }
    slow = seen("LoadingWeights", 400, raw, weights=copy)
    assert slow.measured_speed == pytest.approx(10**7, rel=0.01)
    assert stalls.limit_seconds(slow, "LoadingWeights") == pytest.approx(300 + 500, rel=0.01)
    assert removed(slow) == []
    other = replace(slow, weights={**copy, "status": {**copy["status"], "digest": "sha256:b"}})
    assert other.measured_speed == 0, "of another copy"


def test_paused_means_left_alone() -> None:
    view = seen("Compiling", 10**6)
    resting = replace(view, spec=view.spec.model_copy(update={"paused": True}))
    assert len(removed(view)) == 1
    assert removed(resting) == []


def test_what_starts_is_looked_at_again() -> None:
    assert decide(seen("Compiling", 0)).requeue_after == FOLLOW_SECONDS
    assert decide(replace(seen("Compiling", 0), starts={})).requeue_after is None


def test_the_stall_is_told_until_the_servers_are_ready() -> None:
    raw = deployment()
    told = progressing(seen("LoadingWeights", 400, raw))
    assert (told["status"], told["reason"]) == ("False", "StartupStalled")
    assert "wrote nothing for 6 minutes while it loaded weights" in told["message"]
    raw["status"] = {"conditions": [told]}
    again = progressing(seen("Importing", 0, raw))
    assert again["message"] == told["message"], "the next server starts, and nothing is written"
    changed = {**raw, "metadata": {**raw["metadata"], "generation": 2}}
    assert progressing(seen("Importing", 0, changed))["reason"] == "Starting"
    served = running(raw, ready=1)
    assert progressing(snapshot(raw, served))["reason"] == "RolloutComplete"


def test_a_pod_that_has_become_ready_meanwhile_stays() -> None:
    memory = Memory()
    live = memory.put({**POD, "metadata": {**POD["metadata"], "ownerReferences": [
        {"uid": "rs", "controller": True, "kind": "ReplicaSet", "name": "web"}]}})  # fmt: skip
    view = seen("Compiling", 10**6)
    with pytest.raises(Conflict):
        asyncio.run(Applier(memory, view.owner).run(removed(view)))  # type: ignore[arg-type]
    assert ("Pod", "web-1") in memory.objects, "version 7 is not the one that is there"
    version = live["metadata"]["resourceVersion"]
    exact = [replace(each, version=version) for each in removed(view)]
    asyncio.run(Applier(memory, view.owner).run(exact))  # type: ignore[arg-type]
    assert ("Pod", "web-1") not in memory.objects


def test_status_keeps_what_a_server_told() -> None:
    pod = {**POD, "status": {"conditions": []}}
    told = Told("0.32.0", 1024, 2048, load_seconds=31.5)
    view = replace(seen("Compiling", 0), told=(pod, told))
    built = status.build(view, decide(view), None, NOW)
    assert built["observed"] == {"vllmVersion": "0.32.0", "kvTokens": 1024, "maxModelLen": 2048}
    assert built["coldStart"] == {"pod": "web-1", "loadSeconds": 32}
    raw = deployment(status=built)
    later = seen("Compiling", 0, raw)
    assert status.build(later, decide(later), None, NOW)["coldStart"] == built["coldStart"]
