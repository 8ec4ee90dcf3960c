"""A window of what servers told: what one look found, and an hour of looks in few bytes. Pure."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llama_operator.reconcile.sizing import Window

LOOKS = 60
LEAST_LOOKS = 30
_FIELDS = 5
_SERIES = re.compile(
    r"^vllm:(kv_cache_usage_perc|gpu_cache_usage_perc|num_requests_waiting|num_requests_running|"
    r"num_preemptions_total)(?:\{[^}]*\})? (\S+)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Look:
    """What one server said: the share of its KV cache, requests, and preemptions ever."""

    kv: float
    waiting: float
    running: float
    preempted: float


def read(exposition: str) -> Look | None:
    """The look at a page of metrics; None where it is not one of vLLM."""
    kv, sums = [], {"num_requests_waiting": 0.0, "num_requests_running": 0.0}
    preempted = 0.0
    for name, text in _SERIES.findall(exposition):
        value = _number(text)
        if name.endswith("usage_perc"):
            kv.append(min(1.0, value))
        elif name in sums:
            sums[name] += value
        else:
            preempted += value
    if not kv:
        return None
    return Look(max(kv), sums["num_requests_waiting"], sums["num_requests_running"], preempted)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value >= 0 else 0.0


class Looks:
    """The last hour of one deployment, in about a kilobyte.

    Servers that come, go or restart leave the counted preemptions right: only what a server counted
    since the look before is added.
    """

    def __init__(self) -> None:
        self._values = array("f")
        self._counted: dict[str, float] = {}

    def add(self, looks: Mapping[str, Look]) -> None:
        """One look at all servers, by the UID of the pod; of none it tells nothing."""
        if not looks:
            return
        preempted = sum(
            max(0.0, each.preempted - self._counted.get(pod, each.preempted))
            for pod, each in looks.items()
        )
        self._counted = {pod: each.preempted for pod, each in looks.items()}
        running = sum(each.running for each in looks.values())
        waiting = sum(each.waiting for each in looks.values())
        kv = max(each.kv for each in looks.values())
        self._values.extend((kv, waiting, running, preempted, float(running + waiting > 0)))
        del self._values[: -_FIELDS * LOOKS]

    @property
    def window(self) -> Window | None:
        """What they come to; None before half of the hour is over."""
        kv, waiting, running, preempted, busy = (self._values[at::_FIELDS] for at in range(_FIELDS))
        if len(kv) < LEAST_LOOKS:
            return None
        return Window(
            kv_p95=p95(kv),
            peak=max(kv),
            waiting_p95=p95(waiting),
            running_p95=p95(running),
            preempted=sum(preempted),
            busy=sum(busy) / len(busy),
        )


def p95(values: Iterable[float]) -> float:
    """The value that 95 of 100 do not exceed."""
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * 0.95) - 1]
