"""Which series there are: of operator, guard and Jobs as their code says, of vLLM as one showed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from llama_operator.reconcile.fleet import ColdStarts, FleetCollector
from llama_operator.telemetry.metrics import Metrics
from llama_weights import metrics as job_metrics
from tests.support import guarding

# `# HELP` and `# TYPE` of /metrics of vLLM 0.32.0.
VLLM = Path(__file__).with_name("vllm-0.32.0-metrics.txt")
_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("_sum", "_count"),
    "info": ("_info",),
}


class _Nothing:
    def list(self) -> list[dict[str, Any]]:
        return []


@cache
def everything() -> frozenset[str]:
    """All names that a Prometheus which scrapes them has."""
    return frozenset(operator() | jobs() | vllm() | guard())


def operator() -> set[str]:
    """Names on the wire of the operator's own series."""
    return set(_wire(_registry().collect()))


def jobs() -> set[str]:
    """Names on the wire of a weights Job's series."""
    return {f"llama_weights_{name}" for name in (*job_metrics.NAMES, "phase")}


def vllm() -> set[str]:
    """Names on the wire of vLLM's series."""
    return set(_wire(text_string_to_metric_families(VLLM.read_text())))


def guard() -> set[str]:
    """Names on the wire of the guard's series, which vLLM shows among its own."""
    made = [each for each in vars(guarding.load()).values() if isinstance(each, MetricWrapperBase)]
    return set(_wire(family for each in made for family in each.collect()))


def _registry() -> CollectorRegistry:
    metrics = Metrics()
    FleetCollector(_Nothing(), _Nothing(), metrics.registry, per_object=True)
    ColdStarts(metrics.registry)
    return metrics.registry


def _wire(families: Any) -> Iterator[str]:
    for family in families:
        yield from _of(family)


def _of(family: Metric) -> Iterator[str]:
    for suffix in _SUFFIXES.get(family.type, ("",)):
        yield family.name + suffix
