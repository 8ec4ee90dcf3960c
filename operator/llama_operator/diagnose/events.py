"""What Kubernetes complains of about an object whose own status has nothing to tell yet.

A volume that cannot be mounted leaves a pod in ContainerCreating for ever, and only its events
say so. Not every warning is one: probes fail while a server loads, back-offs only repeat what the
container's status says better, and a mount that failed once is history when the image is pulled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from llama_operator.diagnose.pods import Cause
from llama_operator.diagnose.words import clip, still

Object = dict[str, Any]
Event = dict[str, Any]
# The events about objects that wait, by the UID of the object.
Events = Mapping[str, Sequence[Event]]
# The kubelet's words for a volume whose Secret, or ConfigMap with authorities, is not there.
_ABSENT = re.compile(r'\b(secret|configmap) "(?:[^"/]+/)?([^"]+)" not found')
_MISSING = {
    "secret": "The pod waits for Secret {0}, which is not there. Make it (kubectl create secret "
    "generic {0} --from-literal=default=KEY), or correct spec.auth.secretName.",
    "configmap": "The pod waits for ConfigMap {0} with certificates, which is not there. Make it "
    "(kubectl create configmap {0} --from-file=ca.crt), or correct spec.caBundle.",
}
LIMIT = 400
NONE: Events = MappingProxyType({})
# What keeps a pod from coming to be, in the words of the kubelet and of the controllers.
REASONS = (
    "FailedMount",
    "FailedAttachVolume",
    "FailedMapVolume",
    "FailedCreatePodSandBox",
    "FailedPrepareDynamicResources",
    "FailedCreate",
    "ProvisioningFailed",
    "NetworkNotReady",
    "Evicted",
    "Preempted",
    "UnexpectedAdmissionError",
)
# After one of these what was complained of before is over.
_GOES_ON = ("Pulling", "Pulled", "Created", "Started", "SuccessfulCreate", "ProvisioningSucceeded")
# Said every two minutes beside the complaint itself, and names no cause.
_SUMMARY = re.compile(r"^Unable to attach or mount volumes")
# Made up anew for each pod.
_CLAIM_NAME = re.compile(r"ResourceClaim [^ :]+")
_MADE_UP_NAME = re.compile(r'pods "[^"]*"')


def waiting_since(obj: Object) -> str:
    """Since when it waits for what only its events tell of; "" where it does not."""
    status = obj.get("status", {})
    made = str(obj["metadata"].get("creationTimestamp") or "")
    if obj["metadata"].get("deletionTimestamp"):
        return ""
    kind = obj.get("kind", "Pod")
    if kind == "PersistentVolumeClaim":
        return made if status.get("phase") == "Pending" else ""
    if kind == "Job":
        return "" if any(status.get(key) for key in _HAS_PODS) else made
    return _placed(status) if kind == "Pod" else ""


_HAS_PODS = ("active", "succeeded", "failed", "conditions")


def _placed(status: Object) -> str:
    """Since when a pod has had a node, of one none of whose containers has run."""
    if status.get("phase", "Pending") != "Pending":
        return ""
    boxes = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    if any(box.get("lastState") or "waiting" not in box.get("state", ()) for box in boxes):
        return ""
    times = (
        each.get("lastTransitionTime")
        for each in status.get("conditions", ())
        if each.get("type") == "PodScheduled" and each.get("status") == "True"
    )
    return str(next(times, "") or "")


def worst(objects: Iterable[Object], events: Events) -> Cause | None:
    """The complaint about one of the objects that wait; the same one whatever their order."""
    found = (cause(events.get(_uid(obj), ())) for obj in objects if waiting_since(obj))
    return min(filter(None, found), key=lambda each: (each.reason, each.message), default=None)


def _uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid", ""))


def cause(events: Iterable[Event]) -> Cause | None:
    """The newest complaint among the events of one object; None where there is none, or no longer."""
    found = list(events)
    over = max((last_seen(each) for each in found if each.get("reason") in _GOES_ON), default="")
    telling = [each for each in found if each.get("reason") in REASONS and last_seen(each) >= over]
    if not telling:
        return None
    newest = max(telling, key=lambda each: (not _SUMMARY.match(_text(each)), last_seen(each)))
    reason, text = str(newest["reason"]), _text(newest)
    if reason == "FailedCreate":
        return refused(text)
    said = clip(still(_CLAIM_NAME.sub("ResourceClaim", text)), LIMIT)
    if reason == "FailedMount" and (missing := _ABSENT.search(said)):
        return Cause("SecretMissing", _MISSING[missing[1]].format(missing[2]), evidence=said)
    return Cause(reason, f"Kubernetes says: {said}", evidence=said)


def _text(event: Event) -> str:
    return str(event.get("message") or "")


def refused(text: str) -> Cause:
    """Why pods are not made, by the words of whoever should make them."""
    # The pod's name is made up anew for each attempt.
    said = _MADE_UP_NAME.sub("pods", text.removeprefix("Error creating: "))
    return Cause("QuotaExceeded" if "exceeded quota" in said else "AdmissionRefused", said)


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
