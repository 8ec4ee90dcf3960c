"""What a scrape shows is what the objects say."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from tests.support.builders import deployment, weights

from llama_operator.reconcile.coldstart import phases
from llama_operator.reconcile.fleet import ColdStarts, FleetCollector

Object = dict[str, Any]


class Listed:
    def __init__(self, objects: list[Object]) -> None:
        self._objects = objects

    def list(self) -> list[Object]:
        return self._objects


def condition(kind: str, status: str, reason: str) -> Object:
    return {"type": kind, "status": status, "reason": reason}


PLAN = {
    "gpus": 8, "gpuProduct": "H100", "tensorParallel": 8, "pipelineParallel": 1,
    "dtype": "bfloat16", "kvTokens": 1_419_760, "maxModelLen": 131_072, "maxNumSeqs": 256,
}  # fmt: skip
SERVING = deployment(
    "good",
    status={
        "conditions": [condition("Ready", "True", "Serving")],
        "plan": PLAN,
        "observed": {"kvTokens": 1_419_000, "maxModelLen": 131_072},
        "coldStart": {"pod": "good-1", "scheduledSeconds": 2, "loadSeconds": 61},
        "readyReplicas": 2,
    },
    replicas=2,
)
BROKEN = deployment(
    "bad",
    status={
        "conditions": [
            condition("Ready", "False", "CrashLooping"),
            condition("Degraded", "True", "CrashLooping"),
        ]
    },
)
COMING = weights(
    "coming",
    status={
        "conditions": [condition("Ready", "False", "Downloading")],
        "bytes": 1000,
        "progress": {"bytesDone": 250, "bytesPerSecond": 50},
        "urlExpiresAt": "2026-01-01T12:00:00Z",
    },
)
THERE = weights(
    "there",
    status={
        "conditions": [condition("Ready", "True", "Published")],
        "bytes": 1000,
        "digest": "sha256:x",
        "usedByCount": 3,
        "lastVerifiedAt": "2026-01-01T00:00:00Z",
    },
)


def scraped(
    *deployments: Object, copies: tuple[Object, ...] = (), per_object: bool = True
) -> CollectorRegistry:
    registry = CollectorRegistry()
    FleetCollector(Listed(list(deployments)), Listed(list(copies)), registry, per_object=per_object)
    return registry


def value(registry: CollectorRegistry, name: str, object_name: str = "", **labels: str) -> Any:
    own = {"namespace": "default", **({"name": object_name} if object_name else {}), **labels}
    return registry.get_sample_value(f"llama_operator_{name}", own)


def test_deployments_by_state_and_what_is_wrong() -> None:
    found = scraped(SERVING, BROKEN, deployment("new"))
    assert value(found, "deployments", state="Serving") == 1
    assert value(found, "deployments", state="CrashLooping") == 1
    assert value(found, "deployments", state="New") == 1
    assert value(found, "degraded", "bad", cause="CrashLooping") == 1
    assert value(found, "degraded", "good", cause="CrashLooping") is None
    assert (value(found, "ready", "good"), value(found, "ready", "bad")) == (1, 0)
    assert (value(found, "replicas_wanted", "good"), value(found, "replicas_ready", "good")) == (
        2,
        2,
    )


def test_series_of_each_object_are_there_for_who_asked_for_them_only() -> None:
    fleet = scraped(SERVING, BROKEN, copies=(COMING, THERE), per_object=False)
    assert {family.name for family in fleet.collect()} == {
        "llama_operator_deployments",
        "llama_operator_weights",
    }
    assert named(fleet) == set()
    assert value(fleet, "deployments", state="CrashLooping") == 1
    assert value(fleet, "weights", state="Downloading") == 1
    whole = scraped(SERVING, BROKEN, copies=(COMING, THERE))
    assert value(whole, "deployments", state="CrashLooping") == 1
    assert named(whole) == {"good", "bad", "coming", "there"}


def test_a_fleet_of_any_size_has_as_many_series_as_states() -> None:
    def series(count: int, per_object: bool) -> int:
        many = [deployment(f"d{number}", status=SERVING["status"]) for number in range(count)]
        return sum(len(each.samples) for each in scraped(*many, per_object=per_object).collect())

    assert series(1, False) == series(50, False) == 1
    assert series(50, True) - series(49, True) == series(2, True) - series(1, True) > 10


def test_advice_on_size_is_told_only_where_there_is_some() -> None:
    def sized(name: str, status: str, reason: str) -> Object:
        return deployment(name, status={"conditions": [condition("SizingOptimal", status, reason)]})

    found = scraped(sized("full", "False", "KVCacheSaturated"), sized("well", "True", "WellSized"))
    assert value(found, "sizing_advice", "full", reason="KVCacheSaturated") == 1
    assert value(found, "sizing_advice", "well", reason="WellSized") is None


def test_which_object_is_in_which_state() -> None:
    found = scraped(SERVING, BROKEN, copies=(COMING, THERE))
    assert value(found, "deployment_state", "good", state="Serving") == 1
    assert value(found, "deployment_state", "bad", state="CrashLooping") == 1
    assert value(found, "deployment_state", "bad", state="Serving") is None
    assert value(found, "weights_state", "coming", state="Downloading") == 1
    assert value(found, "weights_state", "there", state="Published") == 1


def test_the_plan_is_told_where_there_is_one() -> None:
    found = scraped(SERVING, BROKEN)
    layout = {
        "model": "llama-3.1-8b-instruct", "gpu_product": "H100", "tensor_parallel": "8",
        "pipeline_parallel": "1", "dtype": "bfloat16",
    }  # fmt: skip
    assert value(found, "plan_info", "good", **layout) == 1
    assert value(found, "plan_kv_tokens", "good") == 1_419_760
    assert value(found, "observed_kv_tokens", "good") == 1_419_000
    assert value(found, "plan_max_model_len", "good") == 131_072
    assert value(found, "observed_max_model_len", "good") == 131_072
    assert value(found, "plan_max_num_seqs", "good") == 256
    assert value(found, "plan_gpus", "bad") is None
    assert value(found, "observed_kv_tokens", "bad") is None


def test_the_last_start_is_told_by_phase() -> None:
    found = scraped(SERVING, BROKEN)
    assert value(found, "last_start_seconds", "good", phase="scheduled") == 2
    assert value(found, "last_start_seconds", "good", phase="load") == 61
    assert value(found, "last_start_seconds", "good", phase="pod") is None
    assert value(found, "last_start_seconds", "bad", phase="load") is None


def test_nothing_stays_of_an_object_that_is_gone() -> None:
    there: list[Object] = [SERVING, BROKEN]
    copies: list[Object] = [COMING, THERE]
    registry = CollectorRegistry()
    FleetCollector(Listed(there), Listed(copies), registry, per_object=True)
    assert named(registry) == {"good", "bad", "coming", "there"}
    there.remove(BROKEN)
    copies.remove(THERE)
    assert named(registry) == {"good", "coming"}
    assert value(registry, "deployments", state="CrashLooping") is None


def named(registry: CollectorRegistry) -> set[str]:
    samples = (sample for family in registry.collect() for sample in family.samples)
    return {sample.labels["name"] for sample in samples if "name" in sample.labels}


def test_time_left_is_told_only_while_bytes_come() -> None:
    stands = {"bytes": 1000, "progress": {"bytesDone": 250, "bytesPerSecond": 0}}
    found = scraped(copies=(COMING, THERE, weights("stands", status=stands)))
    assert value(found, "weights_eta_seconds", "coming") == 15
    assert value(found, "weights_eta_seconds", "there") is None
    assert value(found, "weights_bytes_per_second", "stands") == 0
    assert value(found, "weights_eta_seconds", "stands") is None


def test_weights_on_their_way_and_there() -> None:
    found = scraped(copies=(COMING, THERE))
    assert (
        value(found, "weights_bytes", "coming"),
        value(found, "weights_done_bytes", "coming"),
    ) == (
        1000,
        250,
    )
    assert value(found, "weights_bytes_per_second", "coming") == 50
    assert value(found, "weights_url_expiry_timestamp_seconds", "coming") == 1767268800
    assert value(found, "weights_done_bytes", "there") == 1000
    assert value(found, "weights_bytes_per_second", "there") is None
    assert value(found, "weights_users", "there") == 3
    assert value(found, "weights_verified_timestamp_seconds", "there") == 1767225600


def pod(ready: str = "", restarts: int = 0, component: str = "server") -> Object:
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T12:00:02Z"},
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": ready},
    ]
    running = {"running": {"startedAt": "2026-01-01T12:00:10Z"}}
    return {
        "metadata": {
            "creationTimestamp": "2026-01-01T12:00:00Z",
            "labels": {"app.kubernetes.io/component": component},
        },
        "status": {
            "conditions": conditions,
            "containerStatuses": [{"restartCount": restarts, "state": running}],
        },
    }


READY = "2026-01-01T12:01:10Z"


def test_a_cold_start_is_cut_into_phases() -> None:
    assert phases(pod(READY)) == {"scheduled": 2, "image": 8, "startup": 60}
    assert phases(pod()) == {}
    assert phases(pod(READY, restarts=1)) == {}
    assert phases(pod(READY, component="fetch")) == {}


def test_only_a_pod_that_becomes_ready_counts() -> None:
    registry = CollectorRegistry()
    starts = ColdStarts(registry)
    starts.seen("add", None, pod(READY))  # it was ready before we came
    starts.seen("update", pod(READY), pod(READY))
    starts.seen("delete", pod(READY), None)
    starts.seen("update", pod(), pod(READY))
    name = "llama_operator_cold_start_seconds"
    assert registry.get_sample_value(f"{name}_count", {"phase": "startup"}) == 1
    assert registry.get_sample_value(f"{name}_sum", {"phase": "startup"}) == 60


def told(pod_name: str) -> Object:
    return deployment(status={"coldStart": {"pod": pod_name, "loadSeconds": 7}})


def test_what_vllm_tells_of_a_start_counts_once() -> None:
    registry = CollectorRegistry()
    starts = ColdStarts(registry)
    starts.told("add", None, told("a"))  # it was told before we came
    starts.told("update", told("a"), told("a"))
    starts.told("update", told("a"), told("b"))
    starts.told("delete", told("b"), None)
    name = "llama_operator_cold_start_seconds"
    assert registry.get_sample_value(f"{name}_count", {"phase": "load"}) == 1
    assert registry.get_sample_value(f"{name}_sum", {"phase": "load"}) == 7
    assert registry.get_sample_value(f"{name}_count", {"phase": "graphs"}) is None
