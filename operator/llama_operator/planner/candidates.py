"""All layouts that come into question, each judged: what `llamactl plan` shows as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from llama_operator.api.errors import PlanRefused
from llama_operator.planner import refusal, search
from llama_operator.planner.budget import Subject
from llama_operator.planner.layout import Layout
from llama_operator.planner.plan import Plan, plan, speed_of, subject_of, to_plan
from llama_operator.planner.request import Request, check
from llama_operator.planner.settle import Settled, settle
from llama_operator.planner.speed import Speed

_NO_SPEED = Speed(0.0, 0, 0.0, 0.0)


@dataclass(frozen=True)
class Candidate:
    """One layout. `plan` holds its figures even where it does not fit (`kv_tokens` may be 0).

    `replicas` is how many of it the asked GPUs would hold.
    """

    fits: bool
    reason: str
    plan: Plan
    replicas: int = 1
    speed: Speed = _NO_SPEED

    def to_dict(self) -> dict[str, Any]:
        """The candidate of `llamactl plan -o json`, but for `vllmArgs`, which rendering knows."""
        status = self.plan.to_status()
        del status["gpuProduct"], status["reason"]
        return {
            "fits": self.fits,
            "reason": self.reason,
            **status,
            "replicas": self.replicas,
            "kvCacheDtype": self.plan.kv_cache_dtype,
            "estimate": {
                "tokensPerSecond": round(self.speed.tokens_per_second, 1),
                "batch": self.speed.batch,
                "batchTokensPerSecond": round(self.speed.batch_tokens_per_second, 1),
                "firstTokenSeconds": round(self.speed.first_token_seconds, 4),
            },
        }


@dataclass(frozen=True)
class Decision:
    """The planner's answer in full: what it takes, what else there is, and why nothing fits."""

    chosen: Candidate | None
    candidates: tuple[Candidate, ...]
    refusal: PlanRefused | None = None


def decide(request: Request) -> Decision:
    """The chosen candidate, or the refusal, beside all others.

    Raises PlanRefused only where not even a layout can be judged: a wrong number, an unknown
    GPU, formats that it lacks, pins that contradict the model.
    """
    check(request)
    try:
        taken = plan(request)
    except PlanRefused as refused:
        return Decision(None, tuple(candidates(request)), refused)
    found = candidates(request)
    chosen = next((each for each in found if _layout(each.plan) == _layout(taken)), None)
    return Decision(chosen, tuple(found))


def _layout(found: Plan) -> Layout:
    return Layout(found.tensor_parallel, found.pipeline_parallel, found.nodes)


def candidates(request: Request) -> list[Candidate]:
    """Every layout within the asked GPUs (within one node where none are asked), judged.

    Raises PlanRefused as decide does.
    """
    check(request)
    if request.device == "cpu":
        found = plan(request)
        return [Candidate(True, found.reason, found)]
    subject = subject_of(request)
    return [_candidate(request, subject, each) for each in _layouts(request, subject)]


def _layouts(request: Request, subject: Subject) -> Iterator[Settled]:
    method = subject.precision.quantization
    free = replace(request, gpu_count=None)
    fits = False
    for layout in search.layouts(free, method):
        if request.gpu_count is not None and layout.gpus > request.gpu_count:
            break
        if request.gpu_count is None and fits and layout.nodes > (request.nodes or 1):
            break
        found = settle(subject, request, layout)
        fits = fits or found.fits
        yield found


def _candidate(request: Request, subject: Subject, found: Settled) -> Candidate:
    made = to_plan(request, subject, found)
    reason = made.reason if found.fits else refusal.shortage(request, found)[2]
    return Candidate(
        fits=found.fits,
        reason=reason,
        plan=replace(made, reason=reason),
        replicas=(request.gpu_count or found.layout.gpus) // found.layout.gpus,
        speed=speed_of(request, found) if found.fits else _NO_SPEED,
    )
