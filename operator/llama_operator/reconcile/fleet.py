"""llama_operator_*: the fleet in numbers, read from the caches when somebody scrapes.

Nothing is counted along the way, so nothing can drift from what the objects say, and an operator
that has just started shows the same as one that has run for a month. Cold starts are the exception:
they are events, observed as a pod becomes ready.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llama_operator.reconcile import coldstart

Object = dict[str, Any]
_OBJECT = ("namespace", "name")
_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)


class Listing(Protocol):
    """The store of an informer."""

    def list(self) -> list[Object]:
        """All objects."""


class FleetCollector(Collector):
    """Registers itself; `collect` may run in another thread, since listing a store is one step.

    Series of each object only where somebody asked for them: their number grows with the fleet.
    """

    def __init__(
        self,
        deployments: Listing,
        weights: Listing,
        registry: CollectorRegistry,
        *,
        per_object: bool,
    ) -> None:
        self._deployments, self._weights = deployments, weights
        self._per_object = per_object
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """All families."""
        deployments, weights = self._deployments.list(), self._weights.list()
        yield _states("deployments", deployments)
        yield _states("weights", weights)
        if self._per_object:
            yield from _servers(deployments)
            yield from _copies(weights)


class ColdStarts:
    """llama_operator_cold_start_seconds: from the pod's creation to its first answer, by phase."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "llama_operator_cold_start_seconds",
            "Seconds of a server's start: until it was scheduled, until its container ran (volume "
            "and image), until it answered; of the last, what loading weights, compiling and "
            "capturing graphs took.",
            ("phase",),
            buckets=_SECONDS,
            registry=registry,
        )

    def seen(self, _event: str, old: Object | None, new: Object | None) -> None:
        """A handler of the cache of pods: only a change from not ready to ready counts."""
        if old is None or new is None or coldstart.ready_at(old) or not coldstart.ready_at(new):
            return
        for phase, seconds in coldstart.phases(new).items():
            self._seconds.labels(phase).observe(seconds)

    def told(self, _event: str, old: Object | None, new: Object | None) -> None:
        """A handler of the cache of deployments: a status that tells of another pod counts."""
        was, now = _cold_start(old), _cold_start(new)
        if old is None or not now or was.get("pod") == now["pod"]:
            return
        for phase in ("load", "compile", "graphs", "firstToken"):
            if f"{phase}Seconds" in now:
                self._seconds.labels(phase).observe(now[f"{phase}Seconds"])


def _cold_start(obj: Object | None) -> Object:
    return dict((obj or {}).get("status", {}).get("coldStart", {}))


def _states(what: str, objects: list[Object]) -> Metric:
    family = GaugeMetricFamily(
        f"llama_operator_{what}",
        f"Objects by the reason of their condition Ready ({what}).",
        labels=("namespace", "state"),
    )
    counted = Counter((obj["metadata"]["namespace"], _reason(obj, "Ready")) for obj in objects)
    for labels, count in sorted(counted.items()):
        family.add_metric(labels, count)
    return family


def _state(what: str, objects: list[Object]) -> Metric:
    """One series for each object: alerts and tables ask which, and not how many."""
    family = GaugeMetricFamily(
        f"llama_operator_{what}_state",
        f"1; the label says the reason of the condition Ready ({what}).",
        labels=(*_OBJECT, "state"),
    )
    for obj in objects:
        family.add_metric((*_labels(obj), _reason(obj, "Ready")), 1)
    return family


def _servers(objects: list[Object]) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "llama_operator_plan_info",
        "1; the labels say how a replica is laid out.",
        labels=(*_OBJECT, "model", "gpu_product", "tensor_parallel", "pipeline_parallel", "dtype"),
    )
    numbers = {
        name: GaugeMetricFamily(f"llama_operator_{name}", text, labels=_OBJECT)
        for name, text in _NUMBERS.items()
    }
    degraded = GaugeMetricFamily(
        "llama_operator_degraded",
        "1 for what is wrong with a deployment.",
        labels=(*_OBJECT, "cause"),
    )
    sizing = GaugeMetricFamily(
        "llama_operator_sizing_advice",
        "1 for a deployment whose size does not fit its load; status.sizingAdvice says what to set.",
        labels=(*_OBJECT, "reason"),
    )
    start = GaugeMetricFamily(
        "llama_operator_last_start_seconds",
        "Seconds of the last start of a server that was read, by phase.",
        labels=(*_OBJECT, "phase"),
    )
    yield _state("deployment", objects)
    for obj in objects:
        labels, status = _labels(obj), obj.get("status", {})
        plan = status.get("plan")
        if plan:
            info.add_metric((*labels, *_layout(obj, plan)), 1)
        for name, value in _values(obj).items():
            numbers[name].add_metric(labels, value)
        if _status(obj, "Degraded") == "True":
            degraded.add_metric((*labels, _reason(obj, "Degraded")), 1)
        if _status(obj, "SizingOptimal") == "False":
            sizing.add_metric((*labels, _reason(obj, "SizingOptimal")), 1)
        for phase, seconds in _phases(obj).items():
            start.add_metric((*labels, phase), seconds)
    yield from (info, *numbers.values(), degraded, sizing, start)


_NUMBERS = {
    "plan_gpus": "GPUs of one replica.",
    "plan_kv_tokens": "Tokens that the KV cache of a replica is planned to hold.",
    "observed_kv_tokens": "Tokens that vLLM found room for, in the last start that was read.",
    "plan_max_model_len": "Longest context that is planned, in tokens.",
    "observed_max_model_len": "Longest context that vLLM serves, in tokens.",
    "plan_max_num_seqs": "Sequences that a replica is planned to compute at once.",
    "replicas_wanted": "spec.replicas.",
    "replicas_ready": "Replicas that answer.",
    "ready": "1 while the condition Ready is True.",
}


# Numbers that stand in the status, or are not known.
_TOLD = (
    ("plan_gpus", "plan", "gpus"),
    ("plan_kv_tokens", "plan", "kvTokens"),
    ("observed_kv_tokens", "observed", "kvTokens"),
    ("plan_max_model_len", "plan", "maxModelLen"),
    ("observed_max_model_len", "observed", "maxModelLen"),
    ("plan_max_num_seqs", "plan", "maxNumSeqs"),
)


def _values(obj: Object) -> dict[str, float]:
    status = obj.get("status", {})
    found: dict[str, float] = {
        "replicas_wanted": obj["spec"].get("replicas", 1),
        "replicas_ready": status.get("readyReplicas", 0),
        "ready": _status(obj, "Ready") == "True",
    }
    told = {name: status.get(part, {}).get(key) for name, part, key in _TOLD}
    return found | {name: value for name, value in told.items() if value is not None}


def _phases(obj: Object) -> dict[str, float]:
    known = obj.get("status", {}).get("coldStart", {})
    return {
        name.removesuffix("Seconds"): value
        for name, value in known.items()
        if name.endswith("Seconds")
    }


def _layout(obj: Object, plan: Object) -> tuple[str, ...]:
    keys = ("gpuProduct", "tensorParallel", "pipelineParallel", "dtype")
    return (obj["spec"]["model"], *(str(plan.get(key, "")) for key in keys))


def _copies(objects: list[Object]) -> Iterator[Metric]:
    families = {
        name: GaugeMetricFamily(f"llama_operator_weights_{name}", text, labels=_OBJECT)
        for name, text in _OF_COPIES.items()
    }
    yield _state("weights", objects)
    for obj in objects:
        for name, value in _copy_values(obj).items():
            families[name].add_metric(_labels(obj), value)
    yield from families.values()


_OF_COPIES = {
    "bytes": "Bytes of a copy: of all its files, once they are known.",
    "done_bytes": "Bytes that have come.",
    "bytes_per_second": "Speed of a fetch that runs.",
    "eta_seconds": "Time left at that speed; not there while nothing comes.",
    "ready": "1 while the condition Ready is True.",
    "users": "Deployments that use the copy.",
    "url_expiry_timestamp_seconds": "When Meta's URL ends, in seconds since 1970.",
    "verified_timestamp_seconds": "When every byte was last read and compared.",
}


def _copy_values(obj: Object) -> dict[str, float]:
    status = obj.get("status", {})
    progress, done = status.get("progress", {}), bool(status.get("digest"))
    found: dict[str, float] = {
        "ready": _status(obj, "Ready") == "True",
        "users": status.get("usedByCount", 0),
    }
    size = status.get("bytes", 0)
    if size:
        found |= {"bytes": size, "done_bytes": size if done else progress.get("bytesDone", 0)}
    if progress:
        found |= _speed(progress.get("bytesPerSecond", 0), size - progress.get("bytesDone", 0))
    moments = {
        "url_expiry_timestamp_seconds": status.get("urlExpiresAt"),
        "verified_timestamp_seconds": status.get("lastVerifiedAt"),
    }
    return found | {name: _seconds(text) for name, text in moments.items() if text}


def _speed(rate: float, left: float) -> dict[str, float]:
    eta = {"eta_seconds": left / rate} if rate >= 1 and left > 0 else {}
    return {"bytes_per_second": rate, **eta}


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _labels(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _condition(obj: Object, kind: str) -> Object:
    conditions = obj.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == kind), {})


def _status(obj: Object, kind: str) -> str:
    return str(_condition(obj, kind).get("status", "Unknown"))


def _reason(obj: Object, kind: str) -> str:
    return str(_condition(obj, kind).get("reason", "New"))
