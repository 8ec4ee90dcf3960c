"""docs/metrics.md names every metric of the operator, and no other."""

from __future__ import annotations

import re
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase
from pydantic.alias_generators import to_camel
from tests.docs.markdown import PROJECT, section
from tests.support import guarding
from tests.support.builders import deployment, weights

from llama_operator.activator.meters import Meters
from llama_operator.activator.room import Room
from llama_operator.activator.servers import Servers
from llama_operator.api.v1alpha1_status import ColdStartStatus
from llama_operator.reconcile.fleet import ColdStarts, FleetCollector
from llama_operator.telemetry.metrics import Metrics
from llama_weights import metrics as job_metrics

Object = dict[str, Any]
PAGE = PROJECT / "docs/metrics.md"
BY_CHOICE = ("## Each deployment", "## Each copy of weights")


class _Listed:
    def __init__(self, *objects: Object) -> None:
        self._objects = list(objects)

    def list(self) -> list[Object]:
        return self._objects


def test_every_metric_is_documented_and_no_other() -> None:
    metrics = Metrics()
    FleetCollector(_Listed(), _Listed(), metrics.registry, per_object=True)
    ColdStarts(metrics.registry)
    there = {family.name for family in metrics.registry.collect()}
    ours = {name for name in there if not name.startswith(("process_", "python_"))}
    rows = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    of_jobs = {f"llama_weights_{name}" for name in job_metrics.NAMES} | {"llama_weights_phase"}
    of_guard = {
        each._name for each in vars(guarding.load()).values() if isinstance(each, MetricWrapperBase)
    }
    activator = Meters(Room(1, 1), Servers(1)).registry.collect()
    of_activators = {family.name for family in activator}
    known = ours | of_jobs | of_guard | of_activators
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == known


def fleet(per_object: bool, of: tuple[Any, Any] = (_Listed(), _Listed())) -> list[Metric]:
    registry = CollectorRegistry()
    FleetCollector(*of, registry, per_object=per_object)
    return list(registry.collect())


def test_what_grows_with_the_fleet_stands_where_it_says_by_choice() -> None:
    by_choice = {each.name for each in fleet(True)} - {each.name for each in fleet(False)}
    sections = {heading: section(PAGE.read_text(), heading) for heading in BY_CHOICE}
    assert all("By choice." in text for text in sections.values())
    rows = [row for text in sections.values() for row in text.splitlines() if row.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == by_choice
    others = [row for row in PAGE.read_text().splitlines() if row.startswith("| `llama_operator")]
    objects = {row for row in others if "namespace, name" in row.split("|")[2]}
    assert objects == set(rows)


def _conditions(*kinds: tuple[str, str]) -> list[dict[str, str]]:
    return [{"type": kind, "status": status, "reason": "X"} for kind, status in kinds]


def test_one_object_has_as_many_series_as_the_page_says() -> None:
    """Of objects that have everything at once, also what excludes each other."""
    plan = dict.fromkeys(("gpus", "kvTokens", "maxModelLen", "maxNumSeqs"), 1)
    start = {to_camel(name): 1 for name in ColdStartStatus.model_fields if name != "pod"}
    told: Object = {"conditions": _conditions(("Degraded", "True"), ("SizingOptimal", "False"))}
    told |= {"plan": plan, "observed": {"kvTokens": 1, "maxModelLen": 1}, "coldStart": start}
    moment = "2026-01-01T00:00:00Z"
    copied: Object = {"bytes": 9, "progress": {"bytesDone": 1, "bytesPerSecond": 1}}
    copied |= {"urlExpiresAt": moment, "lastVerifiedAt": moment}
    rows = re.findall(r"^\| (Llama\w+) \| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    assert dict(rows) == {
        "LlamaDeployment": str(_grows(_Listed(deployment(status=told)), _Listed())),
        "LlamaWeights": str(_grows(_Listed(), _Listed(weights(status=copied)))),
    }


def _grows(*of: _Listed) -> int:
    """Series with the label `name`."""
    samples = [sample for family in fleet(True, of) for sample in family.samples]  # type: ignore[arg-type]
    return len([each for each in samples if "name" in each.labels])


# What is a word of the code, a name of an object, or a kind of the API server's.
LABELS = {
    *("namespace", "name", "state", "cause", "phase", "version", "controller", "result", "verb"),
    *("resource", "code", "type", "reason", "model", "gpu_product", "tensor_parallel", "dtype"),
    *("pipeline_parallel", "key", "kind", "direction", "outcome"),
}


def test_labels_take_few_values() -> None:
    """A label with a text, a pod or an address would make a series of each."""
    rows = PAGE.read_text().splitlines()
    named = {
        label for row in rows if row.startswith("| `") for label in row.split("|")[2].split(",")
    }
    assert {label.strip() for label in named} - {""} <= LABELS
