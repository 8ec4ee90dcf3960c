"""What one replica of a LlamaDeployment is made of: GPUs, layout, engine.

A field whose default is None is auto: the planner decides, and status.plan says what and why.
Import the names from `v1alpha1`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llama_operator.api.fields import (
    INT32,
    NAME_PATTERN,
    RESOURCE_PATTERN,
    EnvVar,
    Model,
    OptQuantity,
    PullSecret,
    Resources,
    listed,
)


class GpuSpec(Model):
    """The GPUs of one replica."""

    count: int | None = Field(
        default=None,
        description=(
            "GPUs of ONE replica, exactly; on device cpu the number of ranks. Auto: the fewest "
            "that fit."
        ),
        ge=1,
        le=4096,
        json_schema_extra=INT32,
    )
    product: str | None = Field(
        default=None,
        description=(
            "GPU product, a value of the node label nvidia.com/gpu.product. Auto: the products of "
            "the nodes that match spec.scheduling."
        ),
        max_length=128,
    )
    memory: OptQuantity = Field(
        default=None,
        description="Memory of one GPU in bytes, such as 80Gi. Auto: by node label or product.",
    )
    resource_name: str | None = Field(
        default=None,
        description=(
            "Extended resource to request. Auto: nvidia.com/gpu (cuda), amd.com/gpu (rocm), none "
            "(cpu); MIG slices by their own name."
        ),
        max_length=253,
        pattern=RESOURCE_PATTERN,
    )
    device_class_name: str | None = Field(
        default=None,
        description=(
            "DeviceClass to claim the GPUs of, such as gpu.nvidia.com, instead of an extended resource: "
            "dynamic resource allocation. Needs Kubernetes 1.34 or newer and a driver of the class."
        ),
        max_length=253,
        pattern=NAME_PATTERN,
    )


class SizingSpec(Model):
    """How the model is laid out. Each auto; what is set is never changed, only judged."""

    objective: Literal["fit", "throughput", "latency"] = Field(
        default="fit",
        description="What auto values aim at: fit, throughput or latency. Default fit.",
    )
    max_model_len: int | None = Field(
        default=None,
        description="Longest context in tokens. Auto: the model's, lowered to what fits.",
        ge=1,
        le=100_000_000,
        json_schema_extra=INT32,
    )
    max_num_seqs: int | None = Field(
        default=None,
        description="Sequences computed at once: the concurrency of one replica. Auto: planned.",
        ge=1,
        le=65536,
        json_schema_extra=INT32,
    )
    max_num_batched_tokens: int | None = Field(
        default=None,
        description="Tokens computed in one step. Auto: planned.",
        ge=1,
        le=100_000_000,
        json_schema_extra=INT32,
    )
    gpu_memory_utilization: float | None = Field(
        default=None,
        description="Share of GPU memory that vLLM may take, 0.1 to 0.99. Auto: planned.",
        ge=0.1,
        le=0.99,
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto",
        description="Type of weights and activations. Default auto: the checkpoint's.",
    )
    quantization: Literal["none", "fp8", "awq", "gptq", "compressed-tensors"] | None = Field(
        default=None,
        description="Quantization method, or none. Auto: as the checkpoint.",
    )
    kv_cache_dtype: Literal["auto", "fp8"] = Field(
        default="auto", description="Type of the KV cache. Default auto: that of the model."
    )
    tensor_parallel: int | None = Field(
        default=None,
        description="GPUs that share each layer; must divide the attention heads. Auto: planned.",
        ge=1,
        le=4096,
        json_schema_extra=INT32,
    )
    pipeline_parallel: int | None = Field(
        default=None,
        description="Stages that the layers are cut into. Auto: planned.",
        ge=1,
        le=4096,
        json_schema_extra=INT32,
    )
    nodes: int | None = Field(
        default=None,
        description="Nodes of one replica; must divide tensorParallel x pipelineParallel. More than "
        "1 needs LeaderWorkerSet. Auto: the fewest that hold the model.",
        ge=1,
        le=1024,
        json_schema_extra=INT32,
    )


class EngineSpec(Model):
    """The inference server."""

    type: Literal["vllm", "transformers"] = Field(
        default="vllm",
        description=(
            "Server: vllm, or transformers for what vLLM does not run (one request at a time, in 16 "
            "bits, one node). Default vllm."
        ),
    )
    device: Literal["cuda", "rocm", "cpu"] = Field(
        default="cuda", description="Kind of accelerator: cuda, rocm or cpu. Default cuda."
    )
    image: str | None = Field(
        default=None,
        description="Container image. Auto: the operator's default for type and device.",
        max_length=512,
        pattern=r"^[^\s]*$",
    )
    version: str | None = Field(
        default=None,
        description=(
            "Version of the server that the plan is made for. Auto: that of the image; needed with an own "
            "image without a version tag."
        ),
        max_length=32,
        pattern=r"^([0-9]+\.[0-9]+[0-9A-Za-z.+-]*)?$",
    )
    image_pull_secrets: tuple[PullSecret, ...] = Field(
        default=(),
        description="Secrets with registry credentials.",
        max_length=16,
        json_schema_extra=listed("map", "name"),
    )
    args: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(
        default=(),
        description=(
            "More flags of `vllm serve`, after those of the operator. Flags that the operator sets "
            "or that open the server are refused."
        ),
        max_length=64,
        json_schema_extra=listed("atomic"),
    )
    env: tuple[EnvVar, ...] = Field(
        default=(),
        description=(
            "More environment variables of the engine. Those that open the server or change its "
            "code are refused."
        ),
        max_length=64,
        json_schema_extra=listed("map", "name"),
    )
    resources: Resources = Field(
        default_factory=dict,
        description=(
            "Processor, memory and local disk of the engine container. Auto: computed from the "
            "model (pinned memory, /dev/shm, load buffers)."
        ),
    )
    enforce_eager: bool = Field(
        default=False,
        description="Run without CUDA graphs: starts faster, answers slower. Default false.",
    )
