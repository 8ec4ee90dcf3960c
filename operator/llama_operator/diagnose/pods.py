"""The cause of a pod that does not become ready, from its status and the log of the run that ended.

Messages end in conditions, so nothing in them may move by itself: no ages, no random pod names,
no restart counts (a message that changes each time is a write for ever).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from llama_operator.diagnose.judge import Diagnosis, diagnose
from llama_operator.diagnose.known import Patch, Rank
from llama_operator.diagnose.words import clip, in_words, still

Pod = dict[str, Any]
Container = dict[str, Any]
# The end of a log by the UID of its pod.
Logs = Mapping[str, str]

_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
# How much of a log is asked for: the root cause may stand 150 lines before the end.
TAIL_LINES = 400
# 128 KiB, and the time of each line.
LOG_BYTES = 147456
_LIMIT = 400
_EVIDENCE_LIMIT = 300
# The scheduler's words for a node without enough free devices of those that a pod claims.
_NO_DEVICES = "cannot allocate all claims"
_CLAIMS = (
    " (no node has as many free devices of spec.gpu.deviceClassName, with the planned product, as one "
    "pod claims: kubectl get resourceslices, kubectl get resourceclaims -A)"
)
_NO_LOGS: Logs = MappingProxyType({})
SERVER_IMAGE = "spec.engine.image, and spec.engine.imagePullSecrets for a private registry"
JOB_IMAGE = "the operator's option --weights-image"


@dataclass(frozen=True)
class Cause:
    """Why something does not run: a CamelCase reason of `Degraded` and a stable sentence.

    `severity` orders causes, the most telling first. What stands below the order is for a reader
    who is not a condition: the line of the log, the patch, and the pod that it was found on.
    """

    reason: str
    message: str
    severity: int = len(Rank)
    evidence: str = field(default="", compare=False, repr=False)
    fix: Patch = field(default_factory=dict, compare=False, repr=False)
    pod: str = field(default="", compare=False, repr=False)
    # Starting again does not help.
    permanent: bool = field(default=False, compare=False, repr=False)

    @property
    def ended(self) -> bool:
        """Whether a container ran and ended, and was not kept from running."""
        return self.severity <= len(Rank)


# What keeps a container from starting is less telling than how another one ended.
_HELD = ("ImagePullFailed", "SecretMissing", "ContainerRefused", "Unschedulable")


def worst(pods: Iterable[Pod], logs: Logs = _NO_LOGS) -> Cause | None:
    """The most telling cause among pods that are not on their way out."""
    return _first(_causes(pods, SERVER_IMAGE, logs))


def not_started(pods: Iterable[Pod], image_setting: str) -> Cause | None:
    """Why none of the pods has come to run; how one ended is for its caller to read."""
    held = (each for each in _causes(pods, image_setting, _NO_LOGS) if each.reason in _HELD)
    return _first(held)


def _causes(pods: Iterable[Pod], image_setting: str, logs: Logs) -> Iterable[Cause]:
    alive = (pod for pod in pods if not pod["metadata"].get("deletionTimestamp"))
    for pod in alive:
        meta = pod["metadata"]
        found = cause(pod, image_setting, logs.get(meta.get("uid", ""), ""))
        if found is not None:
            yield replace(found, pod=str(meta.get("name", "")))


def _first(causes: Iterable[Cause]) -> Cause | None:
    # By message as well: the order in which pods are listed is no news.
    return min(causes, key=lambda each: (each.severity, each.message), default=None)


def cause(pod: Pod, image_setting: str = SERVER_IMAGE, log: str = "") -> Cause | None:
    """Why this pod does not run; None while there is nothing to complain of.

    `log` is the end of what its ended container wrote, where it could be read.
    """
    status = pod.get("status", {})
    found = _unschedulable(status)
    for container in _containers(status):
        found = found or _container_cause(container, image_setting, log)
    return found


def ended(pod: Pod) -> Container | None:
    """The status of the container whose log `cause` asks for, with how it ended under `ended`."""
    for container in _containers(pod.get("status", {})):
        how = _how_it_ended(container)
        if how is not None:
            return {**container, "ended": how}
    return None


def before_restart(container: Container) -> bool:
    """Whether the run that ended is the one before the present: kubectl's --previous."""
    return "terminated" not in container.get("state", {})


def _containers(status: dict[str, Any]) -> list[Container]:
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _held(reason: str, message: str) -> Cause:
    return Cause(reason, message, len(Rank) + 1 + _HELD.index(reason))


def _unschedulable(status: dict[str, Any]) -> Cause | None:
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            text = condition.get("message", "no node fits")
            said = f"No node can take the pod: {clip(text, _LIMIT)}"
            return _held("Unschedulable", said + (_CLAIMS if _NO_DEVICES in text else ""))
    return None


def _container_cause(container: Container, image_setting: str, log: str) -> Cause | None:
    waiting = container.get("state", {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _PULL:
        return _pull(container, image_setting)
    if reason in _CONFIG:
        return _refused(waiting.get("message") or reason)
    how = _how_it_ended(container)
    return _ended(how, log) if how is not None else None


def _how_it_ended(container: Container) -> dict[str, Any] | None:
    if container.get("ready"):
        return None
    last = container.get("lastState", {}).get("terminated")
    how: dict[str, Any] | None = container.get("state", {}).get("terminated") or last
    return how


def _refused(message: str) -> Cause:
    # The kubelet says the same of an image that runs as root and of a path that is not there.
    if "secret" in message.lower():
        return _held("SecretMissing", f"The container cannot be made: {clip(message, _LIMIT)}")
    known = diagnose([message])
    if known.known:
        return _told(known)
    return _held("ContainerRefused", f"The container cannot be made: {clip(message, _LIMIT)}")


def _pull(container: Container, setting: str) -> Cause:
    image = container.get("image", "")
    return _held("ImagePullFailed", f"The image {image} cannot be pulled. Check {setting}")


def _ended(how: dict[str, Any], log: str) -> Cause:
    code = how.get("exitCode", 0)
    # Without a log there is what the kubelet keeps of it: two kibibytes.
    lines = (log or how.get("message", "")).splitlines()
    verdict = diagnose(lines, code, how.get("reason", ""))
    if verdict.known:
        return _told(verdict)
    line = verdict.evidence
    if not line and code == 0:
        line = "the engine died, or the server was told to end"
    text = f"vLLM ended with exit code {code}: {still(line) or 'no message; see its log'}"
    return Cause("CrashLooping", clip(text, _LIMIT), evidence=verdict.evidence)


def _told(verdict: Diagnosis) -> Cause:
    parts = [still(verdict.explanation), verdict.advice]
    if verdict.fix:
        parts.append(f"A fix by this log: {in_words(verdict.fix)}.")
    if verdict.evidence:
        parts.append(f"vLLM's words: {clip(still(verdict.evidence), _EVIDENCE_LIMIT)}")
    message = " ".join(parts)
    return Cause(
        verdict.cause,
        message,
        verdict.rank,
        verdict.evidence,
        verdict.fix,
        permanent=verdict.permanent,
    )
