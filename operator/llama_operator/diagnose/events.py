"""What Kubernetes complains of about a pod whose own status has nothing to tell yet.

A volume that cannot be mounted leaves a pod in ContainerCreating for ever, and only its events
say so. Not every warning is one: probes fail while a server loads, and back-offs only repeat what
the container's status says better.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llama_operator.diagnose.pods import Cause
from llama_operator.diagnose.words import clip, still

Event = dict[str, Any]
LIMIT = 400
# What keeps a pod from coming to be, in the words of the kubelet and of the controllers.
REASONS = (
    "FailedMount",
    "FailedAttachVolume",
    "FailedMapVolume",
    "FailedCreatePodSandBox",
    "FailedCreate",
    "ProvisioningFailed",
    "NetworkNotReady",
    "Evicted",
    "Preempted",
    "UnexpectedAdmissionError",
)


def cause(events: Iterable[Event]) -> Cause | None:
    """The newest complaint of that sort; None where there is none."""
    telling = [each for each in events if each.get("reason") in REASONS]
    if not telling:
        return None
    newest = max(telling, key=last_seen)
    text = clip(still(str(newest.get("message") or "")), LIMIT)
    return Cause(str(newest["reason"]), f"Kubernetes says: {text}", evidence=text)


def last_seen(event: Event) -> str:
    """When it was last seen, by whichever of its fields the reporter filled."""
    series = event.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("metadata", {}).get("creationTimestamp"),
    )
    return str(next(filter(None, times), ""))
