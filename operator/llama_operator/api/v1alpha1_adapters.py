"""LoRA adapters: what servers reserve for them, and which ones are to be loaded.

Only what is reserved needs a restart; adapters come and go while the servers run. Import the names
from `v1alpha1`.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from llama_operator.api.fields import INT32, Model
from llama_operator.api.v1alpha1_source import ClaimSource, HuggingFaceSource

MOST_ADAPTERS: Final = 32
HIGHEST_RANK: Final = 512


class LoraSpec(Model):
    """Room for LoRA adapters in every server."""

    enabled: bool = Field(
        default=False,
        description="Reserve GPU memory for adapters and mount their volume, so that adapters "
        "are loaded without a restart. Changing it restarts the servers once. Default false.",
    )
    max_adapters: int = Field(
        default=4,
        description="Adapters that are loaded at once, 1 to 32; each takes GPU memory, used or "
        "not. Default 4.",
        ge=1,
        le=MOST_ADAPTERS,
        json_schema_extra=INT32,
    )
    max_rank: int = Field(
        default=16,
        description="Highest rank of an adapter, 1 to 512; vLLM reserves for the next of 1, 8, "
        "16, 32, 64, 128, 256, 320, 512. Default 16.",
        ge=1,
        le=HIGHEST_RANK,
        json_schema_extra=INT32,
    )


class AdapterSource(Model):
    """Where an adapter comes from: one of the two."""

    hugging_face: HuggingFaceSource | None = Field(
        default=None, description="A repository with adapter_model.safetensors; repo is needed."
    )
    claim: ClaimSource | None = Field(
        default=None, description="A directory of a volume; it is only read, and copied."
    )


class AdapterSpec(Model):
    """One adapter, named as requests name it in `model`."""

    name: str = Field(
        description="Value of `model` in requests for this adapter.",
        min_length=1,
        max_length=63,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
    )
    source: AdapterSource = Field(description="Where its files come from.")


class AdapterStatus(Model):
    """How one adapter is."""

    name: str = Field(description="Name in spec.adapters.", max_length=63)
    digest: str | None = Field(
        default=None, description="sha256 of the manifest of its copy.", max_length=71
    )
    ready_replicas: int | None = Field(
        default=None, description="Replicas that have it loaded.", ge=0
    )
    message: str | None = Field(
        default=None,
        description="What keeps it from being loaded; empty: nothing.",
        max_length=1024,
    )


class AdapterModule(Model):
    """One kind of layer that an adapter changes."""

    name: str = Field(description="Such as q_proj.", max_length=64)
    inputs: int | None = Field(default=None, description="Width of what goes in.", ge=0)
    outputs: int | None = Field(default=None, description="Width of what comes out.", ge=0)


class AdapterFound(Model):
    """What the look at an adapter has found, read from its config and from its tensors."""

    rank: int | None = Field(default=None, description="Highest rank of its tensors.", ge=0)
    base: str | None = Field(
        default=None, description="The model that it says it was made for.", max_length=200
    )
    layers: int | None = Field(default=None, description="Layers that it reaches to.", ge=0)
    modules: tuple[AdapterModule, ...] = Field(
        default=(),
        description="The layers that it changes, by kind.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
