"""Values of the operator's own pods, their account, and what guards them."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from llama_operator.api.fields import (
    NAME_PATTERN,
    Affinity,
    EnvVar,
    NetworkPeer,
    NodeSelector,
    Resources,
    Toleration,
    TopologySpread,
)
from llama_operator.chart.base import Count, Free, Name, Part, Port, Seconds, Texts

_SPREAD: Final = tuple(
    {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway"}
    for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
)
# Measured by `make bench-operator`: 78 MiB with 100 deployments, 294 MiB with 10,000.
_RESOURCES: Final[dict[str, Any]] = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"memory": "512Mi"},
}


class ServiceAccount(Part):
    """The operator's account."""

    create: bool = Field(default=True, description="Make it.")
    name: Name = Field(
        default="", description="Its name; empty: the release's, or default where none is made."
    )
    annotations: Texts = Field(default={}, description="Annotations of the account.")


class Probe(Part):
    """How often the kubelet asks."""

    period_seconds: Seconds = Field(default=10, description="Seconds between two requests.")
    timeout_seconds: Seconds = Field(default=5, description="Seconds that an answer may take.")
    failure_threshold: Count = Field(default=3, description="Failures that count.", ge=1)


class LivenessProbe(Probe):
    """/healthz."""

    failure_threshold: Count = Field(
        default=6, description="Failures after which the pod is restarted.", ge=1
    )


class OperatorPod(Part):
    """The operator's pods."""

    replicas: Count = Field(
        default=2, description="Pods; one of them leads, the others wait with full caches."
    )
    listen_address: str = Field(
        default="0.0.0.0",  # noqa: S104 - a pod's own network
        description="Address of probes and metrics; `::` where a cluster has IPv6 only.",
        min_length=1,
    )
    port: Port = Field(default=8081, description="Port of probes and metrics.")
    resources: Resources = Field(
        default=_RESOURCES,
        description="What a pod asks for, and at most gets; memory by deployments: docs/install.md.",
    )
    liveness_probe: LivenessProbe = Field(
        default_factory=LivenessProbe, description="/healthz: that the loop turns."
    )
    readiness_probe: Probe = Field(
        default_factory=Probe, description="/readyz: that the caches are complete."
    )
    termination_grace_period_seconds: Seconds = Field(
        default=30, description="Seconds for work in hand; the operator takes up to 20."
    )
    extra_args: tuple[str, ...] = Field(
        default=(), description="More arguments of `llama-operator run`."
    )
    extra_env: tuple[EnvVar, ...] = Field(default=(), description="More environment variables.")
    labels: Texts = Field(default={}, description="More labels of the pods.")
    annotations: Texts = Field(default={}, description="Annotations of the pods.")
    node_selector: NodeSelector = Field(
        default={"kubernetes.io/os": "linux"}, description="Labels of the nodes to run on."
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(), description="Taints that the pods may run beside."
    )
    affinity: Affinity = Field(default={}, description="Nodes and pods to be near to or far from.")
    topology_spread_constraints: tuple[TopologySpread, ...] = Field(
        default=_SPREAD,
        description="How the pods are spread; without a labelSelector those of this release count.",
    )
    priority_class_name: str = Field(
        default="",
        description="PriorityClass, such as system-cluster-critical.",
        pattern=NAME_PATTERN,
    )


class DisruptionBudget(Part):
    """What a drain may take."""

    enabled: bool = Field(default=True, description="Make a PodDisruptionBudget.")
    max_unavailable: Count = Field(
        default=1, description="Pods that may be missing while nodes are drained.", ge=1
    )


class NetworkPolicy(Part):
    """Who may connect to the operator."""

    enabled: bool = Field(
        default=True,
        description="Let only the release's own namespace, Prometheus "
        "(metrics.monitoringNamespaces) and `from` connect.",
    )
    from_: tuple[NetworkPeer, ...] = Field(
        default=(), alias="from", description="More peers that may connect."
    )
    egress: tuple[Free, ...] = Field(
        default=(),
        description="Where the operator may connect to, as rules of a NetworkPolicy; it needs the "
        "API server and DNS. Empty: anywhere.",
    )
