"""Which starts have stalled, and are begun anew: pure.

A server that hangs while it starts holds its GPUs until the startup probe ends, which must be
generous: hours for the largest models. Silence is the better sign. vLLM writes a line for each
file of weights that it has read, each graph that it captures, each step of the compiler.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from llama_operator.api.template import server_template, size_of
from llama_operator.diagnose import startup
from llama_operator.reconcile import sets
from llama_operator.reconcile.actions import Delete
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.render.probes import read_speed

# Importing took 63 s and compiling an 8B 24 s where nothing was cached.
SILENCE_SECONDS = 600.0
# Hugging Face's files, and ours, are at most this large.
LARGEST_FILE = 5 * 10**9
# What hangs is killed after this: it serves nobody, and vLLM ignores SIGTERM while it starts.
GRACE_SECONDS = 5
_DOING: Mapping[str, str] = MappingProxyType(
    {
        startup.IMPORTING: "imported its modules",
        startup.LOADING: "loaded weights",
        startup.COMPILING: "compiled and sized its cache",
        startup.CAPTURING: "captured graphs",
    }
)


@dataclass(frozen=True)
class Stall:
    """A pod that is to be replaced, and why in a stable sentence."""

    delete: Delete
    message: str


def find(view: DeploymentView) -> list[Stall]:
    """The pods whose start has been silent for longer than its phase may be."""
    found: list[Stall] = []
    if view.spec.engine.type != "vllm":
        # Transformers tells of its progress in one line without an end, which no log shows in time.
        return found
    for pod in (*view.pods, *view.canaries):
        start = view.starts.get(pod["metadata"].get("uid", ""))
        if start is None or not start.phase or not _together(view, pod):
            continue
        limit = limit_seconds(view, start.phase)
        if start.silent_seconds >= limit:
            found.append(Stall(_removal(pod), _message(start.phase, limit)))
    return found


def _together(view: DeploymentView, pod: Object) -> bool:
    """Whether all of its group runs: a rank waits silently for one that has no node yet."""
    size = size_of(server_template(view.server))
    return size == 1 or sets.complete(pod, view.ranks, size)


def limit_seconds(view: DeploymentView, phase: str) -> float:
    """How long a start may write nothing."""
    if phase != startup.LOADING:
        return SILENCE_SECONDS
    size = int((view.weights or {}).get("status", {}).get("bytes", LARGEST_FILE))
    return SILENCE_SECONDS / 2 + min(size, LARGEST_FILE) / read_speed(view.measured_speed)


def _removal(pod: Object) -> Delete:
    meta = pod["metadata"]
    # Only as it was seen: it may have become ready meanwhile.
    return Delete(
        "Pod",
        meta["namespace"],
        meta["name"],
        meta["uid"],
        version=meta.get("resourceVersion", ""),
        grace_seconds=GRACE_SECONDS,
    )


def _message(phase: str, limit: float) -> str:
    return (
        f"A server wrote nothing for {math.ceil(limit / 60)} minutes while it "
        f"{_DOING.get(phase, 'started')}, and was replaced. If the next one stalls as well, look "
        "at the volume's speed and at the health of the GPUs on its node"
    )
