"""How the pods of a LlamaDeployment start, stop, where they run, and what they tell.

Import the names from `v1alpha1`.
"""

from __future__ import annotations

from pydantic import Field

from llama_operator.api.fields import (
    DURATION_PATTERN,
    ENDPOINT_PATTERN,
    NAME_PATTERN,
    Affinity,
    Annotations,
    IntOrPercent,
    Labels,
    Model,
    NodeSelector,
    Toleration,
    TopologySpread,
    listed,
)


class StartupSpec(Model):
    """How long a start may take, and when it is over."""

    budget: str = Field(
        default="auto",
        description=(
            "Time from the start of the container to the first answer, such as 30m. Default auto: "
            "by the size of the model."
        ),
        max_length=32,
        pattern=rf"^auto$|{DURATION_PATTERN}",
    )
    warm_up: bool = Field(
        default=True,
        description="A server is ready once it has answered a request of its own, and not before; "
        "false: as soon as it listens. Default true.",
    )


class DrainSpec(Model):
    """How a server stops."""

    timeout: str = Field(
        default="60s",
        description="Time that running requests get to finish, such as 60s. Default 60s.",
        max_length=32,
        pattern=DURATION_PATTERN,
    )


class DisruptionSpec(Model):
    """How many replicas a drain of nodes may take at once."""

    max_unavailable: IntOrPercent = Field(
        default=1,
        description=(
            "Replicas, or a percentage such as 25%, that may be away at once. Default 1. No "
            "PodDisruptionBudget is made for one replica."
        ),
    )


class SchedulingSpec(Model):
    """Where pods may run. Taints of the GPU resource are always tolerated."""

    node_selector: NodeSelector = Field(
        default_factory=dict, description="Labels of the nodes to run on."
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(),
        description="More taints that pods may run beside.",
        max_length=32,
        json_schema_extra=listed("atomic"),
    )
    affinity: Affinity = Field(
        default_factory=dict, description="Rules about nodes and neighbours, as in a pod."
    )
    topology_spread_constraints: tuple[TopologySpread, ...] = Field(
        default=(),
        description="How evenly replicas are spread, as in a pod.",
        max_length=16,
        json_schema_extra=listed("map", "topologyKey", "whenUnsatisfiable"),
    )
    priority_class_name: str | None = Field(
        default=None,
        description="PriorityClass of the pods. Auto: the cluster's default.",
        max_length=253,
        pattern=NAME_PATTERN,
    )
    scheduler_name: str | None = Field(
        default=None,
        description="Scheduler of the pods. Auto: the cluster's default.",
        max_length=253,
        pattern=NAME_PATTERN,
    )
    queue_name: str | None = Field(
        default=None,
        description="Queue of Kueue (a LocalQueue of this namespace) that servers wait in until there "
        "is quota for them. Kueue lets it change only while no server answers. Auto: none.",
        max_length=63,
        pattern=NAME_PATTERN,
    )


class PodMetadata(Model):
    """Labels and annotations that serving pods get besides ours."""

    labels: Labels = Field(
        default_factory=dict,
        description="Labels; pods that run are given them too. Keys of llamactl.dev/ and "
        "app.kubernetes.io/ are refused.",
    )
    annotations: Annotations = Field(
        default_factory=dict,
        description="Annotations; keys of llamactl.dev/ and app.kubernetes.io/ are refused.",
    )


class ObservabilitySpec(Model):
    """What the servers tell, and to whom."""

    pod_monitor: bool = Field(
        default=True,
        description="Let the chart's PodMonitors scrape the servers; false: another scraper does, or "
        "none. Default true.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        description="Collector that traces go to: http://HOST:4317 for gRPC; with a path, such as "
        "http://HOST:4318/v1/traces, OTLP over HTTP. Auto: the operator's setting, else no traces.",
        max_length=512,
        pattern=ENDPOINT_PATTERN,
    )
