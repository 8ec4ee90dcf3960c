"""Which series there are: of the operator as its registry says, of vLLM as a real one showed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from llama_operator.reconcile.fleet import ColdStarts, FleetCollector
from llama_operator.telemetry.metrics import Metrics

# `# HELP` and `# TYPE` of /metrics of vLLM 0.32.0.
VLLM = Path(__file__).with_name("vllm-0.32.0-metrics.txt")
_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("_sum", "_count"),
    "info": ("_info",),
}
_OF_PROMETHEUS = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}


class _Nothing:
    def list(self) -> list[dict[str, Any]]:
        return []


def everything() -> set[str]:
    """All names that a Prometheus which scrapes both has."""
    return operator() | vllm() | _OF_PROMETHEUS


def operator() -> set[str]:
    """Names on the wire of the operator's own series."""
    return set(_wire(_registry().collect()))


def vllm() -> set[str]:
    """Names on the wire of vLLM's series."""
    return set(_wire(text_string_to_metric_families(VLLM.read_text())))


def _registry() -> CollectorRegistry:
    metrics = Metrics()
    FleetCollector(_Nothing(), _Nothing(), metrics.registry)
    ColdStarts(metrics.registry)
    return metrics.registry


def _wire(families: Any) -> Iterator[str]:
    for family in families:
        yield from _of(family)


def _of(family: Metric) -> Iterator[str]:
    for suffix in _SUFFIXES.get(family.type, ("",)):
        yield family.name + suffix
