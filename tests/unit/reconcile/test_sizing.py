"""Advice on size: from an hour of what servers told, and only then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import deployment, deployment_view

from llama_operator.reconcile import sizing, status
from llama_operator.reconcile.decide import decide
from llama_operator.reconcile.sizing import Sized, Verdict, Window, judge
from llama_operator.reconcile.sizing_watch import PODS_EACH, SizingWatch, addresses, sized
from llama_operator.reconcile.sizing_window import LEAST_LOOKS, LOOKS, Look, Looks, p95, read
from llama_operator.runtime.clock import FakeClock
from llama_operator.runtime.resource import Key

Object = dict[str, Any]
CALM = Window(kv_p95=0.5, peak=0.6, waiting_p95=0, running_p95=20, preempted=0, busy=1)
TWO = Sized(replicas=2, gpus=1, max_num_seqs=256, kv_bytes=50, weights_bytes=16, rest_bytes=14)

PAGE = """\
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 2.0
vllm:num_preemptions_total{engine="0",model_name="m"} 7.0
vllm:num_preemptions_created{engine="0",model_name="m"} 1.7e+09
"""


# -- judging ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "have", "reason", "advice"),
    [
        ({}, {}, "WellSized", ""),
        (
            {"kv_p95": 0.95, "peak": 1.0, "waiting_p95": 4},
            {},
            "KVCacheSaturated",
            "Raise spec.replicas from 2 to 3, or set spec.sizing.kvCacheDtype to fp8: the KV cache "
            "was at least 90 % full and requests waited, over the last hour",
        ),
        (
            {"kv_p95": 0.95, "peak": 1.0, "waiting_p95": 4},
            {"max_replicas": 4, "fp8": True},
            "KVCacheSaturated",
            "Raise spec.autoscaling.maxReplicas from 4 to 5: the KV cache was at least 90 % full "
            "and requests waited, over the last hour",
        ),
        (
            {"preempted": 12, "peak": 1.0},
            {"fp8": True},
            "Preempting",
            "Lower spec.sizing.maxNumSeqs from 256 to 192, or raise spec.replicas from 2 to 3: "
            "requests were preempted and computed again, since the KV cache was full, over the last "
            "hour",
        ),
        (
            {"kv_p95": 0.05, "peak": 0.1},
            {"replicas": 5},
            "OverProvisioned",
            "Lower spec.replicas from 5 to 1: the KV cache was never more than 20 % full and nothing "
            "waited, over the last hour",
        ),
        (
            {"kv_p95": 0.05, "peak": 0.1},
            {"replicas": 1, "gpus": 4, "tensor_parallel": 4},
            "OverProvisioned",
            "Lower spec.gpu.count from 4 to 2: the KV cache was never more than 20 % full and "
            "nothing waited, over the last hour",
        ),
        # Nothing less would hold the model, or the autoscaler sees to it.
        ({"peak": 0.1}, {"replicas": 1, "gpus": 2, "weights_bytes": 60}, "WellSized", ""),
        ({"peak": 0.1}, {"max_replicas": 4}, "WellSized", ""),
        # Full without a queue is what a cache is for.
        ({"kv_p95": 0.99, "peak": 1.0}, {}, "WellSized", ""),
    ],
)
def test_a_window_is_judged(change: Object, have: Object, reason: str, advice: str) -> None:
    assert judge(replace(CALM, **change), replace(TWO, **have)) == Verdict(reason, advice)


def test_what_nobody_asks_is_not_judged() -> None:
    assert judge(replace(CALM, busy=0.05, peak=0.0), TWO) is None


@pytest.mark.parametrize(
    ("before", "near", "clear"),
    [
        ("KVCacheSaturated", {"kv_p95": 0.8, "peak": 0.95}, {"kv_p95": 0.7}),
        ("Preempting", {"preempted": 2}, {"preempted": 0}),
        ("OverProvisioned", {"peak": 0.3}, {"peak": 0.4}),
    ],
)
def test_a_verdict_stands_word_for_word_until_figures_are_clear_of_it(
    before: str, near: Object, clear: Object
) -> None:
    stands = Verdict(before, "as it was said")
    assert judge(replace(CALM, **near), TWO, stands) == stands
    assert judge(replace(CALM, **near), TWO) == Verdict("WellSized")
    assert judge(replace(CALM, **clear), TWO, stands) == Verdict("WellSized")


# -- what servers tell -----------------------------------------------------------------------------


def test_a_page_of_vllm_is_read() -> None:
    assert read(PAGE) == Look(kv=0.75, waiting=2, running=3, preempted=7)


@pytest.mark.parametrize("page", ["", "up 1\n", "vllm:num_requests_running 1\n", "<html>"])
def test_a_page_of_something_else_tells_nothing(page: str) -> None:
    assert read(page) is None


def test_a_page_with_nonsense_counts_as_nothing_of_it() -> None:
    page = (
        "vllm:kv_cache_usage_perc NaN\nvllm:num_requests_waiting x\nvllm:num_preemptions_total -4\n"
    )
    assert read(page) == Look(0, 0, 0, 0)


def test_before_half_an_hour_there_is_no_window() -> None:
    looks = Looks()
    for _ in range(LEAST_LOOKS - 1):
        looks.add({"a": Look(0.5, 0, 1, 0)})
    assert looks.window is None
    looks.add({})
    assert looks.window is None
    looks.add({"a": Look(0.5, 0, 1, 0)})
    assert looks.window == Window(0.5, 0.5, 0, 1, 0, 1)


def test_an_hour_is_forgotten_and_preemptions_survive_restarts() -> None:
    looks = Looks()
    looks.add({"a": Look(1, 9, 9, 100)})  # what it counted before anybody looked is not of the hour
    for number in range(LOOKS):
        looks.add({"a": Look(0.25, 0, 1, number // 30), "b": Look(0.125, 1, 1, 5)})
    found = looks.window
    assert found is not None
    assert (found.peak, found.waiting_p95, found.running_p95) == (0.25, 1, 2)
    assert found.preempted == 1


def test_p95_is_the_value_that_95_of_100_do_not_exceed() -> None:
    assert p95(range(1, 101)) == 95
    assert p95([7]) == 7


# -- whom it asks ----------------------------------------------------------------------------------


def pod(name: str, ip: str = "10.0.0.1", ready: str = "True") -> Object:
    conditions = [{"type": "Ready", "status": ready}]
    return {
        "metadata": {"uid": name, "name": name},
        "status": {"podIP": ip, "conditions": conditions},
    }


def test_a_few_that_answer_are_asked_at_their_port() -> None:
    pods = [pod("z", ready="False"), pod("v6", "fd00::1"), pod("a"), {**pod("n"), "status": {}}]
    assert addresses(deployment(), pods) == {
        "a": "http://10.0.0.1:8000/metrics",
        "v6": "http://[fd00::1]:8000/metrics",
    }
    low = deployment(endpoint={"port": 80})
    assert addresses(low, [pod("a")]) == {"a": "http://10.0.0.1:8000/metrics"}
    assert len(addresses(deployment(), [pod(f"p{number}") for number in range(9)])) == PODS_EACH


class Fleet:
    def __init__(self, *deployments: Object) -> None:
        self.all = list(deployments)

    def serving(self) -> list[Object]:
        return self.all

    def pods_of(self, _kind: str, _namespace: str, name: str) -> tuple[Object, ...]:
        return (pod(name),)


def full(waiting: int = 5) -> str:
    return f"vllm:kv_cache_usage_perc 1\nvllm:num_requests_waiting {waiting}\nvllm:num_requests_running 9\n"


async def rounds(watch: SizingWatch, text: str, count: int) -> list[Key]:
    async def fetch(_: str) -> str:
        return text

    return [key for _ in range(count) for key in await watch.round(fetch)]


async def test_a_change_of_verdict_is_told_once() -> None:
    raw = deployment()
    watch = SizingWatch(Fleet(raw), FakeClock())
    assert await rounds(watch, full(), LEAST_LOOKS - 1) == []
    assert watch.verdict(raw) is None
    assert await rounds(watch, full(), 10) == [Key("default", "web")]
    verdict = watch.verdict(raw)
    assert verdict is not None
    assert verdict.reason == "KVCacheSaturated"


async def test_servers_that_do_not_answer_change_nothing() -> None:
    watch = SizingWatch(Fleet(deployment()), FakeClock())
    assert await rounds(watch, "", 2 * LEAST_LOOKS) == []


async def test_another_spec_begins_a_new_window_and_a_deleted_one_is_forgotten() -> None:
    fleet = Fleet(deployment())
    watch = SizingWatch(fleet, FakeClock())
    await rounds(watch, full(), LEAST_LOOKS)
    changed = deployment(meta={"generation": 2})
    fleet.all = [changed]
    assert await rounds(watch, full(), LEAST_LOOKS - 1) == []
    assert watch.verdict(changed) is None
    assert list(watch._windows) == [("uid-web", 2)]
    assert watch._verdicts == {}


async def test_a_new_operator_goes_by_what_the_status_says() -> None:
    found = Verdict("KVCacheSaturated", "Raise it").condition
    condition = {"type": found.type, "status": "False", "reason": found.reason, "message": "m"}
    raw = deployment(
        status={
            "conditions": [{**condition, "observedGeneration": 1}],
            "sizingAdvice": "Raise it",
        }
    )
    watch = SizingWatch(Fleet(raw), FakeClock())
    assert watch.verdict(raw) == Verdict("KVCacheSaturated", "Raise it")
    assert await rounds(watch, full(), 2 * LEAST_LOOKS) == []


def test_what_a_deployment_has_is_taken_from_spec_and_plan() -> None:
    card = {"weightsBytes": 16, "kvCacheBytes": 50, "activationBytes": 2, "freeBytes": 3}
    plan = {"gpus": 2, "tensorParallel": 2, "maxNumSeqs": 256, "perGpu": card}
    raw = deployment(
        replicas=3,
        sizing={"kvCacheDtype": "fp8"},
        autoscaling={"maxReplicas": 7},
        status={"plan": plan},
    )
    assert sized(raw) == Sized(3, 7, 2, 2, 256, 50, 16, 5, fp8=True)


# -- in the status ---------------------------------------------------------------------------------


def built(raw: Object, verdict: Verdict | None) -> Object:
    view = replace(deployment_view(raw), sizing=verdict)
    return status.build(view, decide(view), None, "2026-01-01T12:00:00Z")


def condition_of(found: Object) -> Object | None:
    return next((c for c in found["conditions"] if c["type"] == sizing.TYPE), None)


def test_the_verdict_is_a_condition_and_a_sentence_and_goes_with_the_spec() -> None:
    verdict = Verdict("Preempting", "Lower it")
    found = built(deployment(), verdict)
    assert found["sizingAdvice"] == "Lower it"
    told = condition_of(found)
    assert told is not None
    assert (told["status"], told["reason"], told["message"]) == ("False", "Preempting", "Lower it")
    again = deployment(status=found)
    assert built(again, sizing.told(again)) == found
    later = deployment(status=found, meta={"generation": 2})
    assert sizing.told(later) is None
    after = built(later, None)
    assert condition_of(after) is None
    assert "sizingAdvice" not in after


def test_it_never_makes_a_deployment_less_ready() -> None:
    plain, advised = (built(deployment(), each) for each in (None, Verdict("Preempting", "x")))
    ready = [next(c for c in f["conditions"] if c["type"] == "Ready") for f in (plain, advised)]
    assert ready[0] == ready[1]
