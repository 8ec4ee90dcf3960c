"""Of the status of LlamaDeployment: where the servers are reached, and what KServe says of them.

Import the names from `v1alpha1`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llama_operator.api.fields import INT32, Model, listed


class EndpointStatus(Model):
    """How to reach the servers."""

    url: str | None = Field(
        default=None, description="Base URL inside the cluster, with /v1.", max_length=512
    )
    external_url: str | None = Field(
        default=None,
        alias="externalURL",
        description="Base URL outside the cluster, with /v1, once a Gateway has accepted the route, the "
        "Ingress is made, or KServe gives one; empty: none.",
        max_length=512,
    )
    served_model_name: str | None = Field(
        default=None, description="Value of `model` in requests.", max_length=253
    )
    secret_name: str | None = Field(
        default=None, description="Secret that holds the API keys; empty: none.", max_length=253
    )


class TrafficStatus(Model):
    """Where KServe sends a share of the requests."""

    revision: str | None = Field(
        default=None, description="Name of KServe's revision.", max_length=253
    )
    percent: int | None = Field(
        default=None, description="Share of the requests.", ge=0, le=100, json_schema_extra=INT32
    )


class KServeStatus(Model):
    """What KServe says of its resource."""

    ready: Literal["True", "False", "Unknown"] | None = Field(
        default=None, description="Its own condition Ready."
    )
    traffic: tuple[TrafficStatus, ...] = Field(
        default=(),
        description="How KServe splits the traffic; empty: it says nothing of it.",
        max_length=32,
        json_schema_extra=listed("atomic"),
    )
    message: str | None = Field(
        default=None, description="What KServe still waits for; empty: nothing.", max_length=1024
    )
