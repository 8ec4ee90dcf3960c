"""How far a deployment has come, as a list of stages, and what makes waiting pointless. Pure.

The stages are read from conditions, never from a memory of what was seen before: a `deploy`
that is started again, or `status` next to it, tells the same story.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llamactl import view
from llamactl.units import bytes_text, duration

Object = Mapping[str, Any]
State = Literal["todo", "doing", "done", "failed"]

# Reasons of LlamaWeights conditions that do not go away by waiting.
LASTING = {
    "Accessible": {
        "TokenMissing",
        "LicenceNotAccepted",
        "TokenInvalid",
        "NotFound",
        "URLExpired",
        "URLWrongFamily",
        "URLExhausted",
        "SecretMissing",
    },
    "VolumeReady": {"StorageClassMissing", "AccessModeUnusable", "TooSmall", "ReadOnly", "Full"},
    "Downloaded": {"Failed"},
    "Verified": {"ChecksumMismatch", "FilesMissing", "UnexpectedFiles"},
    "Converted": {"FormatUnsupported", "CorruptCheckpoint", "Failed"},
}
WEIGHTS_FAILED = {"Failed", "VolumeNotUsable", "NotFound"}


@dataclass(frozen=True)
class Snapshot:
    """What was read at one moment."""

    deployment: Object
    weights: Object | None = None
    pods: Sequence[Object] = field(default_factory=tuple)


@dataclass(frozen=True)
class Stage:
    """One step on the way; `done` and `total` are bytes, where the step counts bytes."""

    name: str
    state: State
    text: str = ""
    done: int = 0
    total: int = 0
    speed: int = 0


@dataclass(frozen=True)
class Failure:
    """Why waiting is pointless."""

    condition: str
    reason: str
    message: str


def stages(snapshot: Snapshot) -> list[Stage]:
    """Plan, weights, server, ready: in the order in which they come true."""
    return [_plan(snapshot), _weights(snapshot), _server(snapshot), _ready(snapshot)]


def is_ready(snapshot: Snapshot) -> bool:
    """Is everything that was asked for there?"""
    return view.is_true(snapshot.deployment, "Ready")


def looked_at(snapshot: Snapshot) -> bool:
    """Has an operator judged this spec yet?"""
    return bool(view.condition(snapshot.deployment, "Planned")) or bool(
        view.condition(snapshot.deployment, "Ready")
    )


def failure(snapshot: Snapshot) -> Failure | None:
    """The first thing that will not pass by itself."""
    deployment = snapshot.deployment
    planned = view.condition(deployment, "Planned")
    if planned.get("status") == "False":
        return _failure(planned)
    of_weights = lasting_failure(snapshot.weights) if snapshot.weights else None
    if of_weights:
        return of_weights
    for kind, bad in (("WeightsReady", "False"), ("Progressing", "False"), ("Degraded", "True")):
        found = view.condition(deployment, kind)
        if found.get("status") == bad and _lasts(kind, str(found.get("reason"))):
            return _failure(found)
    return None


def lasting_failure(weights: Object) -> Failure | None:
    """What of a copy's conditions will not pass by itself."""
    if view.is_true(weights, "Ready"):
        return None
    for kind, reasons in LASTING.items():
        found = view.condition(weights, kind)
        if found.get("status") == "False" and found.get("reason") in reasons:
            return _failure(found)
    return None


def _lasts(kind: str, reason: str) -> bool:
    if kind == "WeightsReady":
        return reason in WEIGHTS_FAILED
    if kind == "Progressing":
        return reason in ("RevisionRejected", "StartupStalled")
    return True


def _failure(found: Object) -> Failure:
    return Failure(
        str(found.get("type")), str(found.get("reason", "")), str(found.get("message", ""))
    )


def _plan(snapshot: Snapshot) -> Stage:
    found = view.condition(snapshot.deployment, "Planned")
    plan = view.path(snapshot.deployment, "status", "plan") or {}
    if found.get("status") == "True":
        return Stage("Plan", "done", str(plan.get("reason") or found.get("message") or ""))
    if found.get("status") == "False":
        return Stage("Plan", "failed", str(found.get("message") or found.get("reason")))
    return Stage("Plan", "doing", str(found.get("message") or "waiting for the operator"))


def _weights(snapshot: Snapshot) -> Stage:
    found = view.condition(snapshot.deployment, "WeightsReady")
    if found.get("status") == "True":
        size = view.path(snapshot.weights or {}, "status", "bytes")
        return Stage("Weights", "done", bytes_text(size) if size else "")
    if not found:
        return Stage("Weights", "todo")
    progress = view.path(snapshot.weights or {}, "status", "progress")
    if isinstance(progress, Mapping) and progress.get("bytesTotal"):
        return fetching(progress, "Weights")
    why = _first_unmet(snapshot.weights) or str(found.get("message") or found.get("reason"))
    return Stage("Weights", "doing", why)


def fetching(progress: Object, name: str) -> Stage:
    """The step whose bytes a `status.progress` counts."""
    done, total = int(progress.get("bytesDone") or 0), int(progress["bytesTotal"])
    speed = int(progress.get("bytesPerSecond") or 0)
    words = [
        str(progress.get("phase") or "Fetching"),
        f"{bytes_text(done)} of {bytes_text(total)}",
        f"{100 * done // total}%",
    ]
    if speed:
        words += [f"{bytes_text(speed)}/s", f"{duration((total - done) / speed)} left"]
    return Stage(name, "doing", ", ".join(words), done=done, total=total, speed=speed)


def _first_unmet(weights: Object | None) -> str:
    for kind in LASTING:
        found = view.condition(weights or {}, kind)
        if found and found.get("status") != "True":
            return str(found.get("message") or found.get("reason"))
    return ""


def _server(snapshot: Snapshot) -> Stage:
    if is_ready(snapshot) or view.is_true(snapshot.deployment, "Available"):
        return Stage("Server", "done", _count(snapshot))
    if not view.is_true(snapshot.deployment, "WeightsReady"):
        return Stage("Server", "todo")
    if not snapshot.pods:
        found = view.condition(snapshot.deployment, "Progressing")
        return Stage("Server", "doing", str(found.get("message") or "waiting for its pod"))
    worst = next((pod for pod in snapshot.pods if not view.pod_ready(pod)), snapshot.pods[0])
    word, why = view.pod_state(worst)
    words = f"{word}: {why}" if why else word
    return Stage("Server", "doing", f"pod {view.name_of(worst)}: {words}")


def _count(snapshot: Snapshot) -> str:
    have = view.path(snapshot.deployment, "status", "readyReplicas")
    return f"{have} ready" if have else ""


def _ready(snapshot: Snapshot) -> Stage:
    found = view.condition(snapshot.deployment, "Ready")
    if found.get("status") == "True":
        return Stage("Ready", "done", str(view.path(snapshot.deployment, *_URL) or ""))
    return Stage("Ready", "todo")


_URL = ("status", "endpoint", "url")
