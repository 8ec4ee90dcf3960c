"""LlamaWeights: spec and status of one verified copy of one checkpoint on one volume.

Everything that identifies the copy is immutable: a ready copy never changes under a server, and
another revision is another object. Import the names from `v1alpha1`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from llama_operator.api.fields import (
    DATE_TIME,
    INT64,
    NAME_PATTERN,
    Affinity,
    Model,
    NodeSelector,
    Resources,
    Toleration,
    always,
    listed,
)
from llama_operator.api.v1alpha1_adapters import AdapterFound
from llama_operator.api.v1alpha1_source import MODEL_TEXT, Retention, Source, Storage
from llama_operator.api.v1alpha1_status import StatusCondition


class Fetch(Model):
    """How the download Job runs."""

    connections: int = Field(
        default=16, description="Parallel connections, 1 to 64. Default 16.", ge=1, le=64
    )
    max_bytes_per_second: int = Field(
        default=0,
        description="Limit of the download in bytes per second; 0 means none. Default 0.",
        ge=0,
        json_schema_extra=INT64,
    )
    resources: Resources = Field(
        default_factory=dict,
        description="Processor, memory and disk of the Job's container; auto: computed.",
    )
    node_selector: NodeSelector = Field(
        default_factory=dict,
        description="Labels of nodes for the Job; auto: those of the servers, so that a zonal "
        "volume lands beside the GPUs.",
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(),
        description="Taints that the Job may run beside; auto: those of the servers.",
        max_length=32,
        json_schema_extra=listed("atomic"),
    )
    affinity: Affinity = Field(
        default_factory=dict,
        description="Affinity of the Job; auto: that of the servers.",
    )


class CaBundle(Model):
    """Certificates of authorities, in PEM, that the Jobs trust instead of the public ones."""

    config_map_name: str = Field(
        description="ConfigMap, in the same namespace.",
        min_length=1,
        max_length=253,
        pattern=NAME_PATTERN,
    )
    key: str = Field(
        default="ca.crt", description="Entry of the ConfigMap. Default ca.crt.", max_length=253
    )


class Verify(Model):
    """When every byte of the ready copy is read again and compared."""

    schedule: Literal["Never", "Daily", "Weekly", "Monthly"] = Field(
        default="Never",
        description="How often; on publishing it is always done. Default Never.",
    )


class LlamaWeightsSpec(Model):
    """What to fetch, from where, onto which volume."""

    model: str = Field(description=MODEL_TEXT, min_length=1, max_length=200)
    source: Source | None = Field(
        default=None,
        description="Where the files come from; at most one member. Cannot change. Auto: the "
        "catalogue's Hugging Face repository.",
    )
    adapter: bool = Field(
        default=False,
        description="The files are a LoRA adapter for spec.model, not the model itself; always a "
        "copy in the volume of storage. Cannot change. Default false.",
    )
    storage: Storage | None = Field(
        default=None,
        description="The volume. Cannot change, but size may grow. Auto: a claim of the default "
        "class is made.",
    )
    retention: Retention | None = Field(
        default=None, description="What happens when nothing uses the files. Auto: they stay."
    )
    ca_bundle: CaBundle | None = Field(
        default=None, description="Authorities that the Jobs trust. Auto: the public ones."
    )
    keep_originals: bool = Field(
        default=False,
        description="Keep Meta's .pth files beside the converted copy. Default false.",
    )
    verify: Verify = Field(
        default_factory=always(Verify), description="When a ready copy is read again and compared."
    )
    fetch: Fetch = Field(default_factory=always(Fetch), description="How the download Job runs.")


class ShapeStatus(Model):
    """What the planner needs to know of a model, read from its config.json."""

    architecture: str | None = Field(
        default=None, description="Model class, such as LlamaForCausalLM.", max_length=128
    )
    num_layers: int | None = Field(default=None, description="Hidden layers.", ge=0)
    hidden_size: int | None = Field(default=None, description="Width of the residual stream.", ge=0)
    num_attention_heads: int | None = Field(default=None, description="Query heads.", ge=0)
    num_kv_heads: int | None = Field(
        default=None, alias="numKVHeads", description="Key and value heads.", ge=0
    )
    head_dim: int | None = Field(default=None, description="Width of one head.", ge=0)
    intermediate_size: int | None = Field(
        default=None, description="Width of the feed-forward layer.", ge=0
    )
    vocab_size: int | None = Field(default=None, description="Tokens in the vocabulary.", ge=0)
    max_position: int | None = Field(default=None, description="Longest context in tokens.", ge=0)
    tied_embeddings: bool | None = Field(
        default=None, description="Whether input and output embeddings are one tensor."
    )
    dtype: str | None = Field(
        default=None, description="Type of the weights, such as bfloat16.", max_length=32
    )
    quantization: str | None = Field(
        default=None, description="Quantization of the checkpoint; empty: none.", max_length=64
    )


class Progress(Model):
    """Progress of the download; written by the Job, removed when the weights are ready."""

    phase: str | None = Field(
        default=None, description="What the Job does now, such as Fetching.", max_length=32
    )
    bytes_done: int | None = Field(
        default=None, description="Bytes on the volume.", ge=0, json_schema_extra=INT64
    )
    bytes_total: int | None = Field(
        default=None, description="Bytes to fetch in all.", ge=0, json_schema_extra=INT64
    )
    bytes_per_second: int | None = Field(
        default=None, description="Speed in bytes per second.", ge=0, json_schema_extra=INT64
    )
    eta: str | None = Field(
        default=None, description="When or in what time it will be done.", max_length=64
    )


class LlamaWeightsStatus(Model):
    """What was found and where the files lie."""

    observed_generation: int | None = Field(
        default=None,
        description="Generation of the spec that this status is about.",
        json_schema_extra=INT64,
    )
    conditions: tuple[StatusCondition, ...] = Field(
        default=(),
        description="Ready, Accessible, VolumeReady, Downloaded, Verified, Converted.",
        max_length=32,
        json_schema_extra=listed("map", "type"),
    )
    claim_name: str | None = Field(
        default=None, description="Claim that holds the files.", max_length=253
    )
    path: str | None = Field(
        default=None, description="Directory of the files on the claim.", max_length=512
    )
    digest: str | None = Field(
        default=None,
        description="sha256 of the manifest: the identity of this copy.",
        max_length=71,
        pattern=r"^(sha256:[0-9a-f]{64})?$",
    )
    commit: str | None = Field(
        default=None, description="Commit that the revision was resolved to.", max_length=128
    )
    bytes: int | None = Field(
        default=None, description="Size of the files in bytes.", ge=0, json_schema_extra=INT64
    )
    files: int | None = Field(default=None, description="Number of files.", ge=0)
    format: str | None = Field(
        default=None, description="Format of the tensors, such as safetensors.", max_length=32
    )
    shape: ShapeStatus | None = Field(default=None, description="Shape of the model.")
    adapter: AdapterFound | None = Field(
        default=None, description="What an adapter changes, instead of a shape."
    )
    url_expires_at: str | None = Field(
        default=None,
        description="When Meta's signed URL expires.",
        max_length=64,
        json_schema_extra=DATE_TIME,
    )
    last_verified_at: str | None = Field(
        default=None,
        description="When every byte was last compared with its hash.",
        max_length=64,
        json_schema_extra=DATE_TIME,
    )
    unused_since: str | None = Field(
        default=None,
        description="Since when nothing uses the files.",
        max_length=64,
        json_schema_extra=DATE_TIME,
    )
    used_by: tuple[Annotated[str, Field(max_length=253)], ...] = Field(
        default=(),
        description="LlamaDeployments that use the files, sorted, the first 32.",
        max_length=32,
        json_schema_extra=listed("set"),
    )
    used_by_count: int | None = Field(
        default=None, description="How many LlamaDeployments use the files.", ge=0
    )
    progress: Progress | None = Field(
        default=None, description="Progress of the download, while it runs."
    )
