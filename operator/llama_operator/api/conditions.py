"""Conditions: the vocabulary of both kinds, and how new ones are merged into old ones.

`merge` is pure and idempotent: merging the same conditions again gives the same list, byte for
byte. A transition time that moves without a change of status would be a new resourceVersion,
an event, a reconcile and so a loop of our own making.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

Status = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Condition:
    """One judgement: `reason` is a CamelCase word from the tables below, `message` a sentence."""

    type: str
    status: Status
    reason: str
    message: str


# Types in the order in which they are shown and in which Ready looks for the first unmet one;
# reasons of the met status first.
DEPLOYMENT_REASONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Ready": ("Serving", "ScaledToZero", "Paused"),
        "Planned": (
            "Fits",
            "UnknownModel",
            "ModelNotServable",
            "InvalidParallelism",
            "InsufficientGPUMemory",
            "ContextTooLong",
            "QuantizationUnsupported",
            "GPUUnknown",
            "WaitingForShape",
            "InvalidSpec",
        ),
        "WeightsReady": ("Ready", "Pending", "NotFound", "Failed", "VolumeNotUsable"),
        "Available": ("MinimumReplicasReady", "ScaledToZero", "NoReplicaReady"),
        "Progressing": (
            "RolloutComplete",
            "RollingOut",
            "Starting",
            "ScalingUp",
            "WaitingForGPUs",
            "Queued",
            "StartupStalled",
            "RevisionRejected",
            "Paused",
        ),
        "Degraded": (
            "Healthy",
            "Unschedulable",
            "ImagePullFailed",
            "CrashLooping",
            "OutOfMemory",
            "StartupTimeout",
            "QuotaExceeded",
            "AdmissionRefused",
            "ObjectNotOwned",
            "SecretMissing",
            "StorageClassMissing",
            "DependencyMissing",
            "RankLost",
            "AdapterFailed",
        ),
        "SizingOptimal": ("WellSized", "OverProvisioned", "KVCacheSaturated", "Preempting"),
    }
)
WEIGHTS_REASONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Ready": ("Published",),
        "Accessible": (
            "Authorized",
            "TokenMissing",
            "LicenceNotAccepted",
            "TokenInvalid",
            "NotFound",
            "URLExpired",
            "URLWrongFamily",
            "URLExhausted",
            "URLInvalid",
            "RateLimited",
            "ServerError",
            "EndpointUnreachable",
            "SecretMissing",
            "Checking",
            "Queued",
            "Pending",
            "InvalidSpec",
        ),
        "VolumeReady": (
            "Bound",
            "WaitingForConsumer",
            "StorageClassMissing",
            "AccessModeUnusable",
            "TooSmall",
            "ReadOnly",
            "Full",
            "ClaimMissing",
            "Pending",
        ),
        "Downloaded": (
            "Complete",
            "Downloading",
            "Queued",
            "Stalled",
            "WaitingForURL",
            "Locked",
            "Failed",
            "Pending",
        ),
        "Verified": (
            "ChecksumsMatch",
            "Verifying",
            "ChecksumMismatch",
            "FilesMissing",
            "UnexpectedFiles",
            "Pending",
        ),
        "Converted": (
            "NotNeeded",
            "Complete",
            "Converting",
            "FormatUnsupported",
            "CorruptCheckpoint",
            "Failed",
            "Pending",
        ),
    }
)
DEPLOYMENT_TYPES: Final[tuple[str, ...]] = tuple(DEPLOYMENT_REASONS)
WEIGHTS_TYPES: Final[tuple[str, ...]] = tuple(WEIGHTS_REASONS)


def find(conditions: Iterable[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    """The condition of that type, or None."""
    return next((each for each in conditions if each.get("type") == kind), None)


def merge(
    old: list[dict[str, Any]], new: Iterable[Condition], generation: int, now: str
) -> list[dict[str, Any]]:
    """The conditions to write: the new ones in the order given, then old ones of other types.

    `now` (RFC 3339) becomes lastTransitionTime only where the status differs from the old one;
    types that are not in `new` belong to someone else and are kept as they are.
    """
    before = {each["type"]: each for each in old}
    merged = {each.type: _stamp(each, before.get(each.type), generation, now) for each in new}
    return [*merged.values(), *(each for each in old if each["type"] not in merged)]


def _stamp(
    condition: Condition, before: Mapping[str, Any] | None, generation: int, now: str
) -> dict[str, Any]:
    same = before is not None and before.get("status") == condition.status
    since = before.get("lastTransitionTime") if same and before is not None else None
    return {
        "type": condition.type,
        "status": condition.status,
        "observedGeneration": generation,
        "lastTransitionTime": since or now,
        "reason": condition.reason,
        "message": condition.message,
    }
