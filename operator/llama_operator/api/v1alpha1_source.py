"""Where checkpoints come from and where they lie: the part that both kinds share.

A LlamaDeployment holds the same fields as the LlamaWeights that is made from it, so that moving
from one to the other is a copy. Import the names from `v1alpha1`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llama_operator.api.fields import (
    DURATION_PATTERN,
    ENDPOINT_PATTERN,
    NAME_PATTERN,
    Model,
    OptQuantity,
    listed,
)

AccessMode = Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod", "ReadOnlyMany"]
MODEL_TEXT = "What to serve: a catalogue id (see `llamactl models`) or a Hugging Face id org/repo."


class TokenSecretRef(Model):
    """The Secret entry that holds a Hugging Face access token."""

    name: str = Field(
        description="Name of the Secret, in the same namespace.",
        min_length=1,
        max_length=253,
        pattern=NAME_PATTERN,
    )
    key: str = Field(
        default="token", description="Entry of the Secret. Default token.", max_length=253
    )


class UrlSecretRef(Model):
    """The Secret entry that holds the signed URL from Meta's e-mail."""

    name: str = Field(
        description="Name of the Secret, in the same namespace.",
        min_length=1,
        max_length=253,
        pattern=NAME_PATTERN,
    )
    key: str = Field(default="url", description="Entry of the Secret. Default url.", max_length=253)


class HuggingFaceSource(Model):
    """Files from Hugging Face or a mirror that speaks its protocol."""

    repo: str | None = Field(
        default=None,
        description="Repository org/name; auto: the catalogue's, or spec.model where it is one.",
        max_length=200,
        pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*)?$",
    )
    revision: str = Field(
        default="main",
        description=(
            "Branch, tag or commit. Resolved to a commit once and kept in status, so a branch that "
            "moves later never changes a ready copy. Default main."
        ),
        max_length=255,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]*$",
    )
    endpoint: str | None = Field(
        default=None,
        description=(
            "Address of the hub; auto: the operator's setting, else https://huggingface.co. "
            "A token is only sent over https."
        ),
        max_length=512,
        pattern=ENDPOINT_PATTERN,
    )
    token_secret_ref: TokenSecretRef | None = Field(
        default=None,
        description=(
            "Access token for gated models; auto: the Secret hf-token if it is there, for the "
            "default endpoint only."
        ),
    )


class MetaSource(Model):
    """Files straight from Meta, by the signed URL of its e-mail (valid a day)."""

    url_secret_ref: UrlSecretRef = Field(description="Where the signed URL is kept.")
    folder: str | None = Field(
        default=None,
        description="Folder on Meta's server; auto: by spec.model.",
        max_length=128,
        pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]*)?$",
    )


class ClaimSource(Model):
    """Files that are on a volume already; it is only ever read."""

    name: str = Field(
        description="Name of the PersistentVolumeClaim, in the same namespace.",
        min_length=1,
        max_length=253,
        pattern=NAME_PATTERN,
    )
    path: str = Field(
        default="",
        description=(
            "Directory on it, without a slash at either end; empty: the root. Files of Meta "
            "(consolidated.NN.pth) are converted into a claim of our own (spec.storage)."
        ),
        max_length=512,
        pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)?$",
    )


class Source(Model):
    """Where the files come from: at most one member; none means the catalogue's repository."""

    hugging_face: HuggingFaceSource | None = Field(
        default=None, description="Hugging Face or a mirror that speaks its protocol."
    )
    meta: MetaSource | None = Field(
        default=None, description="Meta's own server, by a signed URL kept in a Secret."
    )
    claim: ClaimSource | None = Field(
        default=None, description="A volume that holds the files already."
    )


class Storage(Model):
    """The volume that holds the files."""

    claim_name: str | None = Field(
        default=None,
        description=(
            "An existing PersistentVolumeClaim, which many LlamaWeights may share, one directory "
            "each; auto: one is made."
        ),
        max_length=253,
        pattern=NAME_PATTERN,
    )
    storage_class_name: str | None = Field(
        default=None,
        description="StorageClass of the claim that is made; auto: the cluster's default class.",
        max_length=253,
        pattern=NAME_PATTERN,
    )
    access_modes: tuple[AccessMode, ...] = Field(
        default=(),
        description=(
            "Access modes of the claim that is made; auto: ReadWriteOnce. Servers on several nodes "
            "need ReadWriteMany."
        ),
        max_length=4,
        json_schema_extra=listed("set"),
    )
    size: OptQuantity = Field(
        default=None,
        description=(
            "Size of the claim that is made, in bytes, such as 40Gi; auto (or 0): what the files "
            "need, with room to convert them. May grow later."
        ),
    )


class Retention(Model):
    """What happens to the files when nothing uses them any more."""

    policy: Literal["Retain", "Delete"] = Field(
        default="Retain",
        description="Retain keeps the files; Delete removes the object and the volume made for it. Default Retain.",
    )
    after_unused: str = Field(
        default="24h",
        description="With Delete: how long after the last use, such as 24h. Default 24h.",
        max_length=32,
        pattern=DURATION_PATTERN,
    )


class DeploymentRetention(Retention):
    """As in LlamaWeights, but Delete is the default: what a deployment made goes with it."""

    policy: Literal["Retain", "Delete"] = Field(
        default="Delete",
        description="Retain keeps the files; Delete removes them when unused. Default Delete.",
    )


class WeightsRef(Model):
    """An existing LlamaWeights of the same namespace."""

    name: str = Field(
        description="Name of the LlamaWeights.",
        min_length=1,
        max_length=253,
        pattern=NAME_PATTERN,
    )
