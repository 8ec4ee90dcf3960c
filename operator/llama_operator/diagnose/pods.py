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


@dataclass(frozen=True)
class Cause:
    """Why something does not run: a CamelCase reason of `Degraded` and a stable sentence."""

    reason: str
    message: str


# The most telling first, where pods of one deployment fail differently.
_ORDER = ("OutOfMemory", "CrashLooping", "ImagePullFailed", "SecretMissing", "Unschedulable")


def worst(pods: Iterable[Pod]) -> Cause | None:
    """The most telling cause among pods that are not on their way out."""
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    causes = [found for found in map(cause, alive) if found is not None]
    return min(causes, key=lambda found: _ORDER.index(found.reason), default=None)


def cause(pod: Pod) -> Cause | None:
    """Why this pod does not run; None while there is nothing to complain of."""
    status = pod.get("status", {})
    found = _unschedulable(status)
    for container in _containers(status):
        found = found or _container_cause(container)
    return found


def _containers(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _unschedulable(status: dict[str, Any]) -> Cause | None:
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            text = condition.get("message", "no node fits")
            return Cause("Unschedulable", f"No node can take the pod: {_clip(text)}")
    return None


def _container_cause(container: dict[str, Any]) -> Cause | None:
    waiting = container.get("state", {}).get("waiting", {})
    reason = waiting.get("reason", "")
    if reason in _PULL:
        return _pull(container)
    if reason in _CONFIG:
        return Cause(
            "SecretMissing",
            f"The container cannot be made: {_clip(waiting.get('message', reason))}",
        )
    ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get(
        "terminated"
    )
    if ended is None or container.get("ready"):
        return None
    return _ended(ended)


def _pull(container: dict[str, Any]) -> Cause:
    image = container.get("image", "")
    return Cause(
        "ImagePullFailed",
        f"The image {image} cannot be pulled. Check spec.engine.image, and spec.engine.imagePullSecrets "
        "for a private registry",
    )


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
