"""The parts of the activator by themselves."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.prometheus.names import VLLM
from tests.unit.activator.world import page

from llama_operator.activator.idle import Idle, Sample, read
from llama_operator.activator.servers import Servers
from llama_operator.activator.target import may_sleep

OWN = 8790


def endpoints(*found: Any, port: int = 8000, family: str = "IPv4", name: str = "http") -> Any:
    return {
        "addressType": family,
        "ports": [{"name": name, "port": port}],
        "endpoints": list(found),
    }


def endpoint(address: str, pod: str = "", **conditions: bool) -> Any:
    found: dict[str, Any] = {"addresses": [address], "conditions": conditions}
    return {**found, "targetRef": {"name": pod}} if pod else found


@pytest.mark.parametrize(
    ("slices", "ready"),
    [
        ([], {}),
        ([endpoints(endpoint("10.0.0.1", "a", ready=True))], {"a": "10.0.0.1:8000"}),
        ([endpoints(endpoint("10.0.0.1"))], {"10.0.0.1": "10.0.0.1:8000"}),
        ([endpoints(endpoint("10.0.0.1", "a", ready=False, serving=True, terminating=True))], {}),
        ([endpoints(endpoint("10.0.0.9", "activator"), port=OWN)], {}),
        ([endpoints(endpoint("10.0.0.1", "a"), name="metrics")], {}),
        ([endpoints(endpoint("example.com", "a"), family="FQDN")], {}),
        ([endpoints(endpoint("fd00::1", "a"), family="IPv6")], {"a": "[fd00::1]:8000"}),
        (
            [
                endpoints(endpoint("fd00::1", "a"), family="IPv6"),
                endpoints(endpoint("10.0.0.1", "a")),
            ],
            {"a": "10.0.0.1:8000"},
        ),
        ([{"addressType": "IPv4", "endpoints": None, "ports": None}], {}),
    ],
)
def test_servers_are_what_is_ready_and_not_the_activator(slices: Any, ready: Any) -> None:
    servers = Servers(OWN)
    servers.update(slices)
    assert servers.ready == ready


def test_the_server_with_the_fewest_requests_is_next() -> None:
    servers = Servers(OWN)
    servers.update([endpoints(endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b"))])
    with servers.using("10.0.0.1:8000"):
        assert servers.pick() == "10.0.0.2:8000"
        with servers.using("10.0.0.2:8000"), servers.using("10.0.0.2:8000"):
            assert servers.pick() == "10.0.0.1:8000"
            assert servers.forwarding == 3
    assert servers.forwarding == 0


def test_a_page_of_vllm_is_read_and_no_other() -> None:
    assert read(page(2, 5)) == Sample(2, 5)
    for name in ("num_requests_running", "num_requests_waiting", "request_success_total"):
        assert f"# TYPE vllm:{name} " in VLLM.read_text()
    assert read("# nothing\n") is None
    assert read("vllm:num_requests_running 1\n") is None


BUSY, DONE = Sample(1, 0), Sample(0, 0)


def test_what_the_canary_asks_for_is_no_work() -> None:
    page = "\n".join(
        [
            'vllm:num_requests_running{engine="0"} 1.0',
            'vllm:num_requests_waiting{engine="0"} 0.0',
            'vllm:request_success_total{finished_reason="length"} 9.0',
            "llama_canary_requests_total 7.0",
            "llama_canary_running 1.0",
        ]
    )
    assert read(page) == Sample(now=0, ended=2)


def test_idle_is_counted_from_the_last_look_that_saw_work() -> None:
    idle = Idle()
    looks: list[tuple[dict[str, Sample | None], bool, float, float]] = [
        ({"a": DONE}, False, 0, 0),  # who knows what was before
        ({"a": DONE}, False, 10, 10),
        ({"a": BUSY}, False, 20, 0),
        ({"a": DONE}, False, 30, 0),
        ({"a": DONE}, False, 35, 5),
        ({"a": Sample(0, 1)}, False, 40, 0),  # a short one, between two looks
        ({"a": Sample(0, 1)}, True, 50, 0),  # somebody waits here
        ({"a": Sample(0, 1)}, False, 55, 5),
        ({"a": Sample(0, 1), "b": DONE}, False, 60, 0),  # another server came
        ({"a": Sample(0, 1), "b": None}, False, 70, 0),  # one cannot be read
        ({}, False, 80, 0),
        ({}, False, 999, 0),
    ]
    for samples, busy, at, seconds in looks:
        assert idle.look(samples, busy, at) == seconds, at


def asleep(**change: Any) -> Any:
    progressing = {"type": "Progressing", "reason": "RolloutComplete", "observedGeneration": 3}
    found: dict[str, Any] = {
        "metadata": {"generation": 3},
        "spec": {"replicas": 1, "autoscaling": {"minReplicas": 0}},
        "status": {"conditions": [progressing]},
    }
    for place, value in change.items():
        part, _, field = place.partition("_")
        found[part] = {**found[part], field: value}
    return found


@pytest.mark.parametrize(
    ("found", "may"),
    [
        (asleep(), True),
        (asleep(spec_replicas=0), False),
        (asleep(spec_autoscaling=None), False),
        (asleep(spec_autoscaling={"minReplicas": 1}), False),
        (asleep(spec_paused=True), False),
        (asleep(metadata_generation=4), False),
        (asleep(status_conditions=[{"type": "Progressing", "reason": "RollingOut"}]), False),
        (asleep(status_conditions=None), False),
    ],
)
def test_a_rollout_keeps_its_servers(found: Any, may: bool) -> None:
    assert may_sleep(found) is may
