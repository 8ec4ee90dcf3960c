"""docs/metrics.md names every metric of the operator, and no other."""

from __future__ import annotations

import re
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from tests.docs.markdown import PROJECT
from tests.support import guarding

from llama_operator.activator.meters import Meters
from llama_operator.activator.room import Room
from llama_operator.activator.servers import Servers
from llama_operator.reconcile.fleet import ColdStarts, FleetCollector
from llama_operator.telemetry.metrics import Metrics
from llama_weights import metrics as job_metrics


class _Nothing:
    def list(self) -> list[dict[str, Any]]:
        return []


def test_every_metric_is_documented_and_no_other() -> None:
    metrics = Metrics()
    FleetCollector(_Nothing(), _Nothing(), metrics.registry, per_object=True)
    ColdStarts(metrics.registry)
    there = {family.name for family in metrics.registry.collect()}
    ours = {name for name in there if not name.startswith(("process_", "python_"))}
    rows = [
        line.split("|")[1]
        for line in (PROJECT / "docs/metrics.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    of_jobs = {f"llama_weights_{name}" for name in job_metrics.NAMES} | {"llama_weights_phase"}
    of_guard = {
        each._name for each in vars(guarding.load()).values() if isinstance(each, MetricWrapperBase)
    }
    activator = Meters(Room(1, 1), Servers(1)).registry.collect()
    of_activators = {family.name for family in activator}
    known = ours | of_jobs | of_guard | of_activators
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == known


# What is a word of the code, a name of an object, or a kind of the API server's.
LABELS = {
    *("namespace", "name", "state", "cause", "phase", "version", "controller", "result", "verb"),
    *("resource", "code", "type", "reason", "model", "gpu_product", "tensor_parallel", "dtype"),
    *("pipeline_parallel", "key", "kind", "direction", "outcome"),
}


def test_labels_take_few_values() -> None:
    """A label with a text, a pod or an address would make a series of each."""
    rows = (PROJECT / "docs/metrics.md").read_text().splitlines()
    named = {
        label for row in rows if row.startswith("| `") for label in row.split("|")[2].split(",")
    }
    assert {label.strip() for label in named} - {""} <= LABELS
