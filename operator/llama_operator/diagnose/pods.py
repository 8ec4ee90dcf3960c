"""The cause of a pod that does not become ready, read from its status alone.

Messages end in conditions, so nothing in them may move by itself: no ages, no random pod names,
no restart counts (a message that changes each time is a write for ever).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Pod = dict[str, Any]

_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_CONFIG = {"CreateContainerConfigError", "CreateContainerError"}
# A Python traceback's last line, or a server's own ERROR line.
_EXCEPTION = re.compile(r"\b([A-Za-z_.]*(?:Error|Exception|Exit)\b: .+)$")
_WRAPPERS = ("Engine core initialization failed", "See root cause above")
_LIMIT = 400
SERVER_IMAGE = "spec.engine.image, and spec.engine.imagePullSecrets for a private registry"
JOB_IMAGE = "the operator's option --weights-image"


@dataclass(frozen=True)
class Cause:
    """Why something does not run: a CamelCase reason of `Degraded` and a stable sentence."""

    reason: str
    message: str


# The most telling first, where pods of one deployment fail differently.
_STARTED = ("OutOfMemory", "CrashLooping")
_HELD = ("ImagePullFailed", "SecretMissing", "ContainerRefused", "Unschedulable")
_ORDER = (*_STARTED, *_HELD)


def worst(pods: Iterable[Pod]) -> Cause | None:
    """The most telling cause among pods that are not on their way out."""
    return _first(pods, _ORDER, SERVER_IMAGE)


def not_started(pods: Iterable[Pod], image_setting: str) -> Cause | None:
    """Why none of the pods has come to run; how one ended is for its caller to read."""
    return _first(pods, _HELD, image_setting)


def _first(pods: Iterable[Pod], reasons: tuple[str, ...], image_setting: str) -> Cause | None:
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    causes = [found for pod in alive if (found := cause(pod, image_setting)) is not None]
    told = [found for found in causes if found.reason in reasons]
    # By message as well: the order in which pods are listed is no news.
    return min(told, key=lambda each: (reasons.index(each.reason), each.message), default=None)


def cause(pod: Pod, image_setting: str = SERVER_IMAGE) -> Cause | None:
    """Why this pod does not run; None while there is nothing to complain of."""
    status = pod.get("status", {})
    found = _unschedulable(status)
    for container in _containers(status):
        found = found or _container_cause(container, image_setting)
    return found


def _containers(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _unschedulable(status: dict[str, Any]) -> Cause | None:
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            text = condition.get("message", "no node fits")
            return Cause("Unschedulable", f"No node can take the pod: {_clip(text)}")
    return None


def _container_cause(container: dict[str, Any], image_setting: str) -> Cause | None:
    waiting = container.get("state", {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _PULL:
        return _pull(container, image_setting)
    if reason in _CONFIG:
        return _refused(waiting.get("message") or reason)
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get(
        "terminated"
    )
    if ended is None or container.get("ready"):
        return None
    return _ended(ended)


def _refused(message: str) -> Cause:
    # The kubelet says the same of an image that runs as root and of a path that is not there.
    of_a_secret = "secret" in message.lower()
    return Cause(
        "SecretMissing" if of_a_secret else "ContainerRefused",
        f"The container cannot be made: {_clip(message)}",
    )


def _pull(container: dict[str, Any], setting: str) -> Cause:
    image = container.get("image", "")
    return Cause("ImagePullFailed", f"The image {image} cannot be pulled. Check {setting}")


def _ended(ended: dict[str, Any]) -> Cause:
    if ended.get("reason") == "OOMKilled":
        return Cause(
            "OutOfMemory",
            "The container was killed for its host memory. Raise spec.engine.resources.limits.memory "
            "or remove the limit",
        )
    code = ended.get("exitCode", 0)
    line = key_line(ended.get("message", ""))
    if not line and code == 0:
        line = "the engine died and vLLM ended with exit code 0"
    return Cause(
        "CrashLooping",
        _clip(f"vLLM ended with exit code {code}: {line or 'no message; see its log'}"),
    )


def key_line(log: str) -> str:
    """The last line of a log that names an exception and is no wrapper around another one."""
    found = ""
    for line in log.splitlines():
        match = _EXCEPTION.search(line)
        if match and not any(text in line for text in _WRAPPERS):
            found = match[1].strip()
    return found


def _clip(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LIMIT else flat[: _LIMIT - 1] + "…"
