"""What happened when, read from the objects' own timestamps."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

Object = dict[str, Any]


def timeline(
    deployment: Object, weights: Object, pods: Iterable[Object]
) -> list[tuple[float, str]]:
    """Seconds after the apply, and what was reached then, in order."""
    start = _time(deployment["metadata"]["creationTimestamp"])
    moments = [
        (start, "applied"),
        *_conditions(weights, _WEIGHTS),
        *_conditions(deployment, _READY),
    ]
    for pod in pods:
        moments += _conditions(pod, _POD)
    # Timestamps are whole seconds: what shares one is shown in the order in which it must be.
    order = ["applied", *_WEIGHTS.values(), *_POD.values(), *_READY.values()]
    moments.sort(key=lambda moment: (moment[0], order.index(moment[1])))
    return [((moment - start).total_seconds(), what) for moment, what in moments]


_WEIGHTS = {
    "Accessible": "source answered, commit pinned",
    "Ready": "weights fetched and verified",
}
_POD = {
    "PodScheduled": "server scheduled",
    "PodReadyToStartContainers": "volumes and network ready",
    "Ready": "vLLM answers /health",
}
_READY = {"Ready": "deployment Ready"}


def _conditions(obj: Object, names: dict[str, str]) -> list[tuple[datetime, str]]:
    conditions = obj.get("status", {}).get("conditions", [])
    return [
        (_time(entry["lastTransitionTime"]), names[entry["type"]])
        for entry in conditions
        if entry["type"] in names and entry["status"] == "True"
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
