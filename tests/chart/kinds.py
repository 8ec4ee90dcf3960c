"""Typed models of every kind that the chart renders: a field that they do not have is refused."""

from __future__ import annotations

from typing import Any

from kubernetes import client
from pydantic import BaseModel, ConfigDict, Field

Object = dict[str, Any]


class Strict(BaseModel):
    """Part of a kind that the kubernetes package does not have."""

    model_config = ConfigDict(extra="forbid")


class Relabelling(Strict):
    sourceLabels: list[str]  # noqa: N815 - names of the API
    targetLabel: str  # noqa: N815


class Endpoint(Strict):
    port: str
    path: str
    interval: str = Field(pattern=r"^[0-9]+(ms|s|m|h)$")
    honorLabels: bool = False  # noqa: N815
    relabelings: list[Relabelling] = []


class Selector(Strict):
    matchLabels: dict[str, str] = {}  # noqa: N815
    matchExpressions: list[Any] = []  # noqa: N815


class Namespaces(Strict):
    any: bool = False
    matchNames: list[str] = []  # noqa: N815


class ServiceMonitorSpec(Strict):
    selector: Selector
    endpoints: list[Endpoint] = Field(min_length=1)


class PodMonitorSpec(Strict):
    namespaceSelector: Namespaces  # noqa: N815
    selector: Selector
    podMetricsEndpoints: list[Endpoint] = Field(min_length=1)  # noqa: N815


class Rule(Strict):
    alert: str = ""
    record: str = ""
    expr: str | float
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    for_: str = Field(default="", alias="for")
    keep_firing_for: str = ""


class Group(Strict):
    name: str
    interval: str = ""
    rules: list[Rule] = Field(min_length=1)


class PrometheusRuleSpec(Strict):
    groups: list[Group] = Field(min_length=1)


MONITORING: dict[str, type[BaseModel]] = {
    "ServiceMonitor": ServiceMonitorSpec,
    "PodMonitor": PodMonitorSpec,
    "PrometheusRule": PrometheusRuleSpec,
}


def validate(obj: Object) -> None:
    """Raises pydantic.ValidationError, or AttributeError for a kind that nobody knows."""
    kind = obj["kind"]
    if kind in MONITORING:
        assert obj["apiVersion"] == "monitoring.coreos.com/v1"
        client.V1ObjectMeta.model_validate(obj["metadata"])
        MONITORING[kind].model_validate(obj["spec"])
        return
    if kind == "CustomResourceDefinition":  # compared whole with the generated one elsewhere
        client.V1ObjectMeta.model_validate(obj["metadata"])
        return
    getattr(client, f"V1{kind}").model_validate(obj)
