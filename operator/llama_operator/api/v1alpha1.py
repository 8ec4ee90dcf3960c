"""LlamaDeployment, and all public names of llamactl.dev/v1alpha1.

These models are the single source of truth: the CRDs, their defaults and `kubectl explain` are
generated from them. A field that is left out means auto wherever its default is None; the
operator decides and says so in status, and never writes a spec.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from llama_operator.api.fields import (
    INT32,
    NAME_PATTERN,
    Model,
    always,
    listed,
)
from llama_operator.api.v1alpha1_adapters import (
    MOST_ADAPTERS,
    AdapterSource,
    AdapterSpec,
    AdapterStatus,
    LoraSpec,
)
from llama_operator.api.v1alpha1_autoscaling import AutoscalingSpec, ScalingTarget
from llama_operator.api.v1alpha1_cache import CompileCacheSpec
from llama_operator.api.v1alpha1_endpoint import (
    EndpointSpec,
    HttpRouteSpec,
    IngressSpec,
    NetworkPolicySpec,
    ParentRef,
)
from llama_operator.api.v1alpha1_engine import EngineSpec, GpuSpec, SizingSpec
from llama_operator.api.v1alpha1_kserve import KServeSpec
from llama_operator.api.v1alpha1_pods import (
    DisruptionSpec,
    DrainSpec,
    ObservabilitySpec,
    PodMetadata,
    SchedulingSpec,
    StartupSpec,
)
from llama_operator.api.v1alpha1_rollout import RolloutSpec
from llama_operator.api.v1alpha1_source import (
    MODEL_TEXT,
    DeploymentRetention,
    HuggingFaceSource,
    MetaSource,
    Retention,
    Source,
    Storage,
    TokenSecretRef,
    UrlSecretRef,
    WeightsRef,
)
from llama_operator.api.v1alpha1_status import (
    AutoscalingStatus,
    LlamaDeploymentStatus,
    PerGpuStatus,
    PlanStatus,
    RolloutStatus,
    StatusCondition,
    WeightsInUse,
)
from llama_operator.api.v1alpha1_status_endpoint import EndpointStatus
from llama_operator.api.v1alpha1_weights import (
    Fetch,
    LlamaWeightsSpec,
    LlamaWeightsStatus,
    Progress,
    ShapeStatus,
)

GROUP: Final = "llamactl.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
DEPLOYMENT_KIND: Final = "LlamaDeployment"
DEPLOYMENT_PLURAL: Final = "llamadeployments"
WEIGHTS_KIND: Final = "LlamaWeights"
WEIGHTS_PLURAL: Final = "llamaweights"

__all__ = [
    "API_VERSION",
    "DEPLOYMENT_KIND",
    "DEPLOYMENT_PLURAL",
    "GROUP",
    "VERSION",
    "WEIGHTS_KIND",
    "WEIGHTS_PLURAL",
    "AdapterSource",
    "AdapterSpec",
    "AdapterStatus",
    "AuthSpec",
    "AutoscalingSpec",
    "AutoscalingStatus",
    "CompileCacheSpec",
    "DeploymentRetention",
    "DisruptionSpec",
    "DrainSpec",
    "EndpointSpec",
    "EndpointStatus",
    "EngineSpec",
    "Fetch",
    "GpuSpec",
    "HttpRouteSpec",
    "HuggingFaceSource",
    "IngressSpec",
    "KServeSpec",
    "LlamaDeploymentSpec",
    "LlamaDeploymentStatus",
    "LlamaWeightsSpec",
    "LlamaWeightsStatus",
    "LoraSpec",
    "MetaSource",
    "NetworkPolicySpec",
    "ObservabilitySpec",
    "ParentRef",
    "PerGpuStatus",
    "PlanStatus",
    "PodMetadata",
    "Progress",
    "Retention",
    "RolloutSpec",
    "RolloutStatus",
    "ScalingTarget",
    "SchedulingSpec",
    "ShapeStatus",
    "SizingSpec",
    "Source",
    "StartupSpec",
    "StatusCondition",
    "Storage",
    "TokenSecretRef",
    "UrlSecretRef",
    "WeightsInUse",
    "WeightsRef",
]


class AuthSpec(Model):
    """Who may ask."""

    mode: Literal["APIKey", "None"] = Field(
        default="APIKey",
        description="APIKey asks for a bearer key; None lets everyone in who can connect. "
        "Default APIKey.",
    )
    secret_name: str | None = Field(
        default=None,
        description=(
            "Secret every entry of which is an API key; an entry's name is the label of its metrics. "
            "Auto: <name>-api-key, made once with the entry default."
        ),
        max_length=253,
        pattern=NAME_PATTERN,
    )


class LlamaDeploymentSpec(Model):
    """Which model to serve and how; everything but `model` has a default that works."""

    model: str = Field(description=MODEL_TEXT, min_length=1, max_length=200)
    source: Source | None = Field(
        default=None,
        description="Where the weights come from; at most one member. Auto: the catalogue's "
        "Hugging Face repository.",
    )
    storage: Storage | None = Field(
        default=None,
        description="Volume of the LlamaWeights that is made. Auto: a claim of the default class.",
    )
    retention: DeploymentRetention | None = Field(
        default=None,
        description="What happens to the weights when unused. Auto: Delete after 24h.",
    )
    weights_ref: WeightsRef | None = Field(
        default=None,
        description="Serve an existing LlamaWeights, instead of source, storage and retention.",
    )
    replicas: int = Field(
        default=1,
        description="Copies of the server; also set by `kubectl scale` and autoscalers. 0 stops "
        "all. Default 1.",
        ge=0,
        le=10000,
        json_schema_extra=INT32,
    )
    paused: bool = Field(
        default=False, description="Nothing is written but status while true. Default false."
    )
    backend: Literal["native", "kserve"] = Field(
        default="native",
        description="What makes the servers' pods: native, by a Deployment of ours; kserve, by a "
        "resource of KServe, on one node. Default native.",
    )
    kserve: KServeSpec = Field(
        default_factory=always(KServeSpec), description="What KServe is given, with backend kserve."
    )
    gpu: GpuSpec = Field(default_factory=always(GpuSpec), description="The GPUs of one replica.")
    sizing: SizingSpec = Field(
        default_factory=always(SizingSpec),
        description="How the model is laid out. What is set is never changed, only judged.",
    )
    engine: EngineSpec = Field(
        default_factory=always(EngineSpec), description="The inference server."
    )
    lora: LoraSpec = Field(
        default_factory=always(LoraSpec), description="Room for LoRA adapters in every server."
    )
    adapters: tuple[AdapterSpec, ...] = Field(
        default=(),
        description="LoRA adapters, loaded and unloaded in servers that run. Needs lora.enabled.",
        max_length=MOST_ADAPTERS,
        json_schema_extra=listed("map", "name"),
    )
    auth: AuthSpec = Field(default_factory=always(AuthSpec), description="Who may ask.")
    endpoint: EndpointSpec = Field(
        default_factory=always(EndpointSpec), description="How the servers are reached."
    )
    autoscaling: AutoscalingSpec | None = Field(
        default=None,
        description="Lets an autoscaler set spec.replicas (KEDA, or a HorizontalPodAutoscaler). "
        "Auto: replicas stay as they are.",
    )
    rollout: RolloutSpec = Field(
        default_factory=always(RolloutSpec), description="How a changed spec reaches the servers."
    )
    startup: StartupSpec = Field(
        default_factory=always(StartupSpec),
        description="How long a start may take, and when it is over.",
    )
    drain: DrainSpec = Field(default_factory=always(DrainSpec), description="How a server stops.")
    disruption: DisruptionSpec = Field(
        default_factory=always(DisruptionSpec),
        description="How many replicas a drain of nodes may take at once.",
    )
    compile_cache: CompileCacheSpec = Field(
        default_factory=always(CompileCacheSpec), description="Compiled code for the next server."
    )
    scheduling: SchedulingSpec = Field(
        default_factory=always(SchedulingSpec),
        description="Where pods may run. Taints of the GPU resource are always tolerated.",
    )
    runtime_class_name: str | None = Field(
        default=None,
        description="RuntimeClass of the pods, such as nvidia. Auto: the cluster's default.",
        max_length=253,
        pattern=NAME_PATTERN,
    )
    pod_metadata: PodMetadata = Field(
        default_factory=always(PodMetadata),
        description="Labels and annotations that serving pods get besides ours.",
    )
    observability: ObservabilitySpec = Field(
        default_factory=always(ObservabilitySpec),
        description="What the servers tell besides metrics.",
    )
