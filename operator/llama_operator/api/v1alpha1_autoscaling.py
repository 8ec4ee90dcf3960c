"""Between how many replicas an autoscaler may choose, and by what.

Import the names from `v1alpha1`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llama_operator.api.fields import DURATION_PATTERN, INT32, Model, listed

Metric = Literal["WaitingRequests", "KVCacheUsage", "TimeToFirstToken"]


class ScalingTarget(Model):
    """What the replicas are to be enough for."""

    metric: Metric = Field(
        description="WaitingRequests of one replica; KVCacheUsage in percent; TimeToFirstToken in "
        "milliseconds, of 95 of 100 requests (needs KEDA).",
    )
    value: int = Field(
        description="Replicas are added while the metric is above this. For KVCacheUsage 1 to 100.",
        ge=1,
        le=1_000_000,
        json_schema_extra=INT32,
    )


class AutoscalingSpec(Model):
    """Present: spec.replicas is set by an autoscaler, through the scale subresource."""

    min_replicas: int = Field(
        default=1,
        description="Fewest replicas. 0: without requests there are none, and requests wait until "
        "one is there. Default 1.",
        ge=0,
        le=10000,
        json_schema_extra=INT32,
    )
    max_replicas: int = Field(
        default=4, description="Most replicas. Default 4.", ge=1, le=10000, json_schema_extra=INT32
    )
    idle_after: str = Field(
        default="10m",
        description="Time without a request after which the last replica goes, where minReplicas "
        "is 0. Default 10m.",
        max_length=32,
        pattern=DURATION_PATTERN,
    )
    targets: tuple[ScalingTarget, ...] = Field(
        default=(ScalingTarget(metric="WaitingRequests", value=5),),
        description="What the replicas are to be enough for; the one that asks for most counts. "
        "Default: 5 WaitingRequests.",
        min_length=1,
        max_length=3,
        json_schema_extra=listed("map", "metric"),
    )
