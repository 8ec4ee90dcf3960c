"""How a server's start went: what the cluster did until it ran, and what vLLM told of the rest."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

from llama_operator.diagnose import queues
from llama_operator.diagnose.startup import Told

Object = dict[str, Any]
_PHASES = ("scheduled", "image", "startup")


def phases(pod: Object) -> dict[str, float]:
    """Seconds by phase, of a server that has become ready without a restart; {} for others."""
    component = pod["metadata"].get("labels", {}).get("app.kubernetes.io/component")
    boxes = pod.get("status", {}).get("containerStatuses", ())
    started = [box.get("state", {}).get("running", {}).get("startedAt") for box in boxes]
    restarts = any(box.get("restartCount") for box in boxes)
    moments = [
        pod["metadata"].get("creationTimestamp"),
        _since(pod, "PodScheduled"),
        max(filter(None, started), default=None),
        ready_at(pod),
    ]
    if component != "server" or restarts or not all(moments):
        return {}
    times = [datetime.fromisoformat(str(each)) for each in moments]
    found = [max(0.0, (after - before).total_seconds()) for before, after in pairwise(times)]
    told = dict(zip(_PHASES, found, strict=True))
    if queues.waited(pod):
        # Hours in a queue are no part of a start, and when they ended is not written on the pod.
        del told["scheduled"]
    return told


def ready_at(pod: Object) -> str:
    """When it became ready; "" while it is not."""
    return _since(pod, "Ready")


def _since(pod: Object, kind: str) -> str:
    for each in pod.get("status", {}).get("conditions", ()):
        if each["type"] == kind and each["status"] == "True":
            return str(each.get("lastTransitionTime", ""))
    return ""


def status(pod: Object, told: Told) -> Object:
    """`coldStart` and `observed` of the status, without what is not known."""
    seconds = {
        **{name: value for name, value in phases(pod).items() if name != "startup"},
        "load": told.load_seconds,
        "compile": told.compile_seconds,
        "graphs": told.graphs_seconds,
        "firstToken": told.first_token_seconds,
    }
    known = {f"{name}Seconds": round(each) for name, each in seconds.items() if each is not None}
    observed = {
        "vllmVersion": told.version,
        "kvTokens": told.kv_tokens,
        "maxModelLen": told.max_model_len,
    }
    return {
        "coldStart": {"pod": pod["metadata"]["name"], **known},
        "observed": {name: value for name, value in observed.items() if value},
    }
