"""Whether a deployment is sized for what it is asked: pure, from a window of life to advice.

The advice is a sentence with a field and a value; nobody but the user acts on it. A verdict that
stands is kept until the figures are clear of it, and its words with it, so that load which sways
around a threshold writes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from llama_operator.api.conditions import Condition, find

Object = dict[str, Any]
TYPE = "SizingOptimal"

# To begin with a verdict, and to stay with it.
FULL_FROM, FULL_UNTIL = 0.90, 0.75
OVER_FROM, OVER_UNTIL = 0.20, 0.35
PREEMPTED_FROM, PREEMPTED_UNTIL = 10.0, 1.0
# Where fewer replicas or GPUs would be: room is left for what the window has not seen.
AIM = 0.50
# Of the looks in a window those with work: what nobody asks tells nothing of its size.
LEAST_BUSY = 0.10


@dataclass(frozen=True)
class Window:
    """What the servers of one deployment told over a while.

    Shares of the KV cache are those of the fullest server; `waiting` and `running` are requests of
    all of them. `peak` is the largest share, `preempted` what was counted in all.
    """

    kv_p95: float
    peak: float
    waiting_p95: float
    running_p95: float
    preempted: float
    busy: float


@dataclass(frozen=True)
class Sized:
    """What a deployment has: the part of spec and plan that advice is about."""

    replicas: int
    max_replicas: int = 0  # of spec.autoscaling; 0: there is none
    gpus: int = 0
    tensor_parallel: int = 1
    max_num_seqs: int = 0
    kv_bytes: int = 0
    weights_bytes: int = 0
    rest_bytes: int = 0  # of a card, less weights and KV cache
    fp8: bool = False


@dataclass(frozen=True)
class Verdict:
    """A reason of SizingOptimal, and what to set; no advice where it is well."""

    reason: str
    advice: str = ""

    @property
    def condition(self) -> Condition:
        """The condition."""
        good = self.reason == "WellSized"
        message = self.advice or "Load and size have fitted over the last hour"
        return Condition(TYPE, "True" if good else "False", self.reason, message)


def judge(window: Window, sized: Sized, before: Verdict | None = None) -> Verdict | None:
    """The verdict on a window; the one `before`, word for word, while it still holds.

    None where the window tells nothing: hardly anybody has asked.
    """
    reason = _reason(window, sized, before.reason if before else "")
    if reason is None or (before is not None and before.reason == reason):
        return before
    return Verdict(reason, _ADVICE[reason](window, sized))


def _reason(window: Window, sized: Sized, before: str) -> str | None:
    if window.preempted >= (PREEMPTED_UNTIL if before == "Preempting" else PREEMPTED_FROM):
        return "Preempting"
    was_full, was_over = before == "KVCacheSaturated", before == "OverProvisioned"
    full = window.kv_p95 >= (FULL_UNTIL if was_full else FULL_FROM)
    if full and (window.waiting_p95 >= 1 or was_full):
        return "KVCacheSaturated"
    if window.busy < LEAST_BUSY:
        return None
    idle = window.peak < (OVER_UNTIL if was_over else OVER_FROM) and window.waiting_p95 < 1
    if idle and (was_over or _less(window, sized)):
        return "OverProvisioned"
    return "WellSized"


def identity(raw: Object) -> tuple[str, int]:
    """UID and generation: what was seen of another spec tells nothing of this one."""
    meta = raw["metadata"]
    return str(meta["uid"]), int(meta.get("generation", 0))


def told(raw: Object) -> Verdict | None:
    """The verdict that the status has of this generation."""
    status = raw.get("status", {})
    found = find(status.get("conditions", ()), TYPE)
    if found is None or found.get("observedGeneration") != identity(raw)[1]:
        return None
    return Verdict(str(found["reason"]), str(status.get("sizingAdvice", "")))


# -- what to set -----------------------------------------------------------------------------------


def _well(_: Window, __: Sized) -> str:
    return ""


def _full(_: Window, sized: Sized) -> str:
    why = "the KV cache was at least 90 % full and requests waited, over the last hour"
    return f"{_more_replicas(sized)}{_smaller_kv(sized)}: {why}"


def _preempting(_: Window, sized: Sized) -> str:
    why = (
        "requests were preempted and computed again, since the KV cache was full, over the last "
        "hour"
    )
    fewer = max(1, sized.max_num_seqs * 3 // 4)
    less = f"Lower spec.sizing.maxNumSeqs from {sized.max_num_seqs} to {fewer}, or "
    more = _more_replicas(sized) + _smaller_kv(sized)
    return (
        f"{less}{more[0].lower()}{more[1:]}: {why}" if sized.max_num_seqs > 1 else f"{more}: {why}"
    )


def _over(window: Window, sized: Sized) -> str:
    why = "the KV cache was never more than 20 % full and nothing waited, over the last hour"
    return f"{_less(window, sized)}: {why}"


_ADVICE = {
    "WellSized": _well,
    "KVCacheSaturated": _full,
    "Preempting": _preempting,
    "OverProvisioned": _over,
}


def _more_replicas(sized: Sized) -> str:
    if sized.max_replicas:
        most = sized.max_replicas
        return f"Raise spec.autoscaling.maxReplicas from {most} to {most + 1}"
    return f"Raise spec.replicas from {sized.replicas} to {sized.replicas + 1}"


def _smaller_kv(sized: Sized) -> str:
    return "" if sized.fp8 else ", or set spec.sizing.kvCacheDtype to fp8"


def _less(window: Window, sized: Sized) -> str:
    """How to have less: fewer replicas first, then fewer GPUs; "" where neither would do."""
    if sized.max_replicas:
        return ""  # the autoscaler's to do
    if sized.replicas > 1:
        fewer = max(1, math.ceil(sized.replicas * window.peak / AIM))
        low = f"Lower spec.replicas from {sized.replicas} to {fewer}"
        return low if fewer < sized.replicas else ""
    if sized.gpus > 1 and sized.tensor_parallel % 2 == 0 and _fits_half(window, sized):
        return f"Lower spec.gpu.count from {sized.gpus} to {sized.gpus // 2}"
    return ""


def _fits_half(window: Window, sized: Sized) -> bool:
    """Each card would hold twice the weights, and twice what was used of the KV cache."""
    card = sized.weights_bytes + sized.kv_bytes + sized.rest_bytes
    used = 2 * sized.kv_bytes * window.peak / AIM
    # What else lies on a card grows by no more than itself.
    return 2 * (sized.weights_bytes + sized.rest_bytes) + used <= card
