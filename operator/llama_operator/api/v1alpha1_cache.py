"""Where what a server has compiled is kept for the next one.

Import the names from `v1alpha1`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llama_operator.api.fields import NAME_PATTERN, Model, OptQuantity, listed


class CompileCacheStorage(Model):
    """The volume of a compile cache."""

    claim_name: str | None = Field(
        default=None,
        description="An existing PersistentVolumeClaim; each deployment has a directory of its own "
        "on it. Name its access modes too. Auto: <name>-compile-cache is made.",
        max_length=253,
        pattern=NAME_PATTERN,
    )
    storage_class_name: str | None = Field(
        default=None,
        description="StorageClass of the claim that is made. Auto: the cluster's default class.",
        max_length=253,
        pattern=NAME_PATTERN,
    )
    access_modes: tuple[Literal["ReadWriteOnce", "ReadWriteMany"], ...] = Field(
        default=(),
        description="Access modes of the claim. With ReadWriteOnce all servers run on one node. "
        "Auto: ReadWriteOnce where the weights are on such a claim, else ReadWriteMany.",
        max_length=2,
        json_schema_extra=listed("set"),
    )
    size: OptQuantity = Field(
        default=None,
        description="Size of the claim that is made, such as 5Gi. Auto (or 0): 5Gi. May grow later.",
    )


class CompileCacheSpec(Model):
    """What a server has compiled, kept for the next one of the same."""

    enabled: bool = Field(
        default=True,
        description="Use the volume of storage, where there is one. false removes the claim that "
        "was made. Default true.",
    )
    storage: CompileCacheStorage | None = Field(
        default=None,
        description="A volume on which compiled code outlives the pod; {} makes a claim. Auto: "
        "none, each pod compiles for itself.",
    )
