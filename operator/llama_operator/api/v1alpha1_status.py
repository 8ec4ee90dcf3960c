"""Status of LlamaDeployment, and the condition that both kinds share.

Nothing here moves by itself: every field is a function of the spec and of what is there, so a
reconcile that finds nothing new writes nothing. Import the names from `v1alpha1`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llama_operator.api.fields import DATE_TIME, INT32, INT64, Model, listed
from llama_operator.api.v1alpha1_adapters import AdapterStatus
from llama_operator.api.v1alpha1_status_endpoint import EndpointStatus, KServeStatus


class StatusCondition(Model):
    """One judgement about the object, as in every Kubernetes API."""

    type: str = Field(
        description="What is judged, such as Ready.",
        max_length=316,
        pattern=r"^[A-Za-z]([A-Za-z0-9./-]*[A-Za-z0-9])?$",
    )
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    observed_generation: int | None = Field(
        default=None,
        description="Generation of the spec that was judged.",
        ge=0,
        json_schema_extra=INT64,
    )
    last_transition_time: str = Field(
        description="When status last changed.", max_length=64, json_schema_extra=DATE_TIME
    )
    reason: str = Field(
        description="Why, in one CamelCase word.",
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?$",
    )
    message: str = Field(description="Why, and what to do about it.", max_length=32768)


class WeightsInUse(Model):
    """The weights that are served."""

    name: str | None = Field(default=None, description="Name of the LlamaWeights.", max_length=253)
    digest: str | None = Field(default=None, description="sha256 of its manifest.", max_length=71)


class PerGpuStatus(Model):
    """How the memory of one GPU is used, in bytes."""

    weights_bytes: int | None = Field(
        default=None, description="Share of the weights.", json_schema_extra=INT64
    )
    kv_cache_bytes: int | None = Field(
        default=None, description="Keys and values of running sequences.", json_schema_extra=INT64
    )
    activation_bytes: int | None = Field(
        default=None, description="Peak of one forward step.", json_schema_extra=INT64
    )
    cuda_graph_bytes: int | None = Field(
        default=None, description="Captured CUDA graphs.", json_schema_extra=INT64
    )
    other_bytes: int | None = Field(
        default=None, description="Driver context and communication.", json_schema_extra=INT64
    )
    free_bytes: int | None = Field(
        default=None, description="Left unused.", json_schema_extra=INT64
    )


class PlanStatus(Model):
    """How one replica is laid out; the same fields as `llamactl plan -o json`."""

    gpus: int | None = Field(
        default=None, description="GPUs of one replica: tensorParallel x pipelineParallel.", ge=0
    )
    gpu_product: str | None = Field(
        default=None, description="GPU product that the plan is made for.", max_length=128
    )
    tensor_parallel: int | None = Field(
        default=None, description="GPUs that share each layer.", ge=1
    )
    pipeline_parallel: int | None = Field(
        default=None, description="Stages that the layers are cut into.", ge=1
    )
    nodes: int | None = Field(default=None, description="Nodes of one replica.", ge=1)
    dtype: str | None = Field(
        default=None, description="Type of weights and activations.", max_length=32
    )
    quantization: str | None = Field(
        default=None, description="Quantization method; empty: none.", max_length=64
    )
    max_model_len: int | None = Field(default=None, description="Longest context in tokens.", ge=1)
    max_num_seqs: int | None = Field(default=None, description="Sequences computed at once.", ge=1)
    max_num_batched_tokens: int | None = Field(
        default=None, description="Tokens computed in one step.", ge=1
    )
    gpu_memory_utilization: float | None = Field(
        default=None, description="Share of GPU memory given to vLLM.", ge=0, le=1
    )
    kv_tokens: int | None = Field(
        default=None, description="Tokens that fit the KV cache.", ge=0, json_schema_extra=INT64
    )
    per_gpu: PerGpuStatus | None = Field(default=None, description="Memory of one GPU, in bytes.")
    reason: str | None = Field(
        default=None, description="Why this layout, in one sentence.", max_length=1024
    )


class ObservedStatus(Model):
    """What a running engine has told of itself, beside what was planned."""

    vllm_version: str | None = Field(default=None, description="Version of vLLM.", max_length=64)
    kv_tokens: int | None = Field(
        default=None, description="Tokens that its KV cache holds.", ge=0, json_schema_extra=INT64
    )
    max_model_len: int | None = Field(
        default=None, description="Longest context that it serves, in tokens.", ge=1
    )


class ColdStartStatus(Model):
    """How long a start took, in whole seconds by phase; of the slowest worker."""

    pod: str | None = Field(default=None, description="The pod that started.", max_length=253)
    scheduled_seconds: int | None = Field(
        default=None, description="From its creation until it had a node.", ge=0
    )
    image_seconds: int | None = Field(
        default=None, description="Until its container ran: volumes and image.", ge=0
    )
    load_seconds: int | None = Field(default=None, description="Loading weights.", ge=0)
    compile_seconds: int | None = Field(default=None, description="torch.compile.", ge=0)
    graphs_seconds: int | None = Field(default=None, description="Capturing CUDA graphs.", ge=0)
    first_token_seconds: int | None = Field(
        default=None, description="From the warm-up request to its first token.", ge=0
    )


class AutoscalingStatus(Model):
    """Who sets spec.replicas, and within which bounds."""

    scaler: Literal["KEDA", "HPA", "None"] | None = Field(
        default=None,
        description="What scales between one replica and maxReplicas. None: nothing does.",
    )
    min_replicas: int | None = Field(
        default=None, description="Fewest replicas.", ge=0, json_schema_extra=INT32
    )
    max_replicas: int | None = Field(
        default=None,
        description="Most replicas: spec.autoscaling.maxReplicas, or fewer where a quota allows "
        "no more.",
        ge=0,
        json_schema_extra=INT32,
    )
    message: str | None = Field(
        default=None,
        description="What keeps maxReplicas from being reached; empty: nothing known.",
        max_length=1024,
    )


class RevisionStatus(Model):
    """Names of ControllerRevisions: what was resolved for a spec, and is kept until it changes."""

    current: str | None = Field(
        default=None, description="Revision that all servers are of.", max_length=253
    )
    update: str | None = Field(
        default=None, description="Revision of the present spec.", max_length=253
    )
    last_good: str | None = Field(
        default=None,
        description="Revision that all servers were ready with last.",
        max_length=253,
    )
    rejected: str | None = Field(
        default=None,
        description="Revision of the present spec that failed; servers are back at lastGood.",
        max_length=253,
    )


class RolloutStatus(Model):
    """How servers are, or were last, replaced."""

    strategy: str | None = Field(
        default=None,
        description="Surge, InPlace or Swap; Canary while one is tried.",
        max_length=32,
    )
    free_gpus: int | None = Field(
        default=None,
        alias="freeGPUs",
        description="GPUs for this pod that nobody held when the rollout began, or was to begin.",
        ge=0,
        json_schema_extra=INT32,
    )
    reason: str | None = Field(
        default=None, description="Why this strategy, in one sentence.", max_length=1024
    )


class LlamaDeploymentStatus(Model):
    """What runs, how it is laid out and how to reach it."""

    observed_generation: int | None = Field(
        default=None,
        description="Generation of the spec that this status is about.",
        json_schema_extra=INT64,
    )
    conditions: tuple[StatusCondition, ...] = Field(
        default=(),
        description="Ready, Planned, WeightsReady, Available, Progressing, Degraded (True is bad), "
        "SizingOptimal (after an hour of load).",
        max_length=32,
        json_schema_extra=listed("map", "type"),
    )
    replicas: int | None = Field(
        default=None, description="Replicas that exist.", ge=0, json_schema_extra=INT32
    )
    ready_replicas: int | None = Field(
        default=None, description="Replicas that answer.", ge=0, json_schema_extra=INT32
    )
    updated_replicas: int | None = Field(
        default=None, description="Replicas of the newest spec.", ge=0, json_schema_extra=INT32
    )
    selector: str | None = Field(
        default=None, description="Label selector of the serving pods.", max_length=1024
    )
    weights: WeightsInUse | None = Field(default=None, description="The weights that are served.")
    plan: PlanStatus | None = Field(
        default=None, description="How one replica is laid out, and why."
    )
    observed: ObservedStatus | None = Field(
        default=None, description="What the running engine has told of itself."
    )
    cold_start: ColdStartStatus | None = Field(
        default=None, description="How the last start that was read went."
    )
    revision: RevisionStatus | None = Field(
        default=None, description="Which revision the servers are of."
    )
    rollout: RolloutStatus | None = Field(
        default=None, description="How the servers are replaced; absent before the first rollout."
    )
    sizing_advice: str | None = Field(
        default=None,
        description="What to set for the load of the last hour; empty: nothing. Never set by itself.",
        max_length=1024,
    )
    endpoint: EndpointStatus | None = Field(default=None, description="How to reach the servers.")
    kserve: KServeStatus | None = Field(
        default=None, description="What KServe says, where backend is kserve."
    )
    adapters: tuple[AdapterStatus, ...] = Field(
        default=(),
        description="The adapters of the spec, one by one.",
        max_length=32,
        json_schema_extra=listed("map", "name"),
    )
    autoscaling: AutoscalingStatus | None = Field(
        default=None, description="Who sets spec.replicas, where spec.autoscaling is there."
    )
