"""Typed models of every kind that the chart renders: a field that they do not have is refused."""

from __future__ import annotations

from typing import Any, Literal

from kubernetes import client
from pydantic import BaseModel, ConfigDict, Field

Object = dict[str, Any]


class Strict(BaseModel):
    """Part of a kind that the kubernetes package does not have."""

    model_config = ConfigDict(extra="forbid")


class Relabelling(Strict):
    sourceLabels: list[str]  # noqa: N815 - names of the API
    targetLabel: str  # noqa: N815


class SecretKey(Strict):
    name: str = Field(min_length=1)
    key: str = Field(min_length=1)


class SecretOrConfigMap(Strict):
    secret: SecretKey


class TlsConfig(Strict):
    serverName: str = Field(min_length=1)  # noqa: N815
    insecureSkipVerify: bool = False  # noqa: N815
    ca: SecretOrConfigMap | None = None
    cert: SecretOrConfigMap | None = None
    keySecret: SecretKey | None = None  # noqa: N815


class Endpoint(Strict):
    port: str
    path: str
    scheme: Literal["http", "https"] = "http"
    tlsConfig: TlsConfig | None = None  # noqa: N815
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


class IssuerRef(Strict):
    name: str = Field(min_length=1)
    kind: str
    group: str


class PrivateKey(Strict):
    algorithm: Literal["RSA", "ECDSA", "Ed25519"]
    size: int
    rotationPolicy: Literal["Never", "Always"]  # noqa: N815


class CertificateSpec(Strict):
    """Of cert-manager.io/v1."""

    secretName: str = Field(min_length=1)  # noqa: N815
    dnsNames: list[str] = Field(min_length=1)  # noqa: N815
    issuerRef: IssuerRef  # noqa: N815
    privateKey: PrivateKey  # noqa: N815
    usages: list[Literal["digital signature", "key encipherment", "server auth"]]


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
    if kind == "Certificate":
        assert obj["apiVersion"] == "cert-manager.io/v1"
        client.V1ObjectMeta.model_validate(obj["metadata"])
        CertificateSpec.model_validate(obj["spec"])
        return
    if kind == "CustomResourceDefinition":  # compared whole with the generated one elsewhere
        client.V1ObjectMeta.model_validate(obj["metadata"])
        return
    getattr(client, f"V1{kind}").model_validate(obj)
