"""All layouts that come into question, judged by the planner, and the one to take.

For a named GPU the choice is the planner's own, so that `plan`, `deploy` and the operator agree
to the byte. Where no GPU is named, the usual data-centre GPUs are compared: fewest GPUs wins,
then the card with the least memory, since both cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llama_operator.api.errors import PlanRefused
from llama_operator.planner import refusal
from llama_operator.planner.plan import Plan, Request, plan, speed_of, subject_of, to_plan
from llama_operator.planner.request import check
from llama_operator.planner.search import layouts
from llama_operator.planner.settle import Settled, settle
from llama_operator.planner.speed import Speed

USUAL_GPUS = (
    "NVIDIA-L4",
    "NVIDIA-A10",
    "NVIDIA-L40S",
    "NVIDIA-A100-SXM4-40GB",
    "NVIDIA-A100-SXM4-80GB",
    "NVIDIA-H100-80GB-HBM3",
    "NVIDIA-H200",
    "NVIDIA-B200",
    "AMD-Instinct-MI300X-OAM",
)


MOST_PINNED = 8


@dataclass(frozen=True)
class Candidate:
    """One layout on one GPU; `reason` says what it holds, or what it lacks."""

    plan: Plan
    fits: bool
    reason: str
    replicas: int = 1
    speed: Speed | None = None
    memory_bytes: int = 0


@dataclass(frozen=True)
class Answer:
    """Everything that was judged, and the choice; without one `refused` says why."""

    chosen: Candidate | None
    candidates: Sequence[Candidate]
    refused: PlanRefused | None = None


def answer(requests: Sequence[Request]) -> Answer:
    """Judge one request per GPU. Never raises PlanRefused."""
    found: list[Candidate] = []
    chosen: list[Candidate] = []
    refused: list[PlanRefused] = []
    for request in requests:
        try:
            best = plan(request)
        except PlanRefused as error:
            refused.append(error)
            found += _others(request, None)
            continue
        mine = _chosen(request, best)
        chosen.append(mine)
        found += [mine, *_others(request, best)]
    best_of_all = min(chosen, key=_cost, default=None)
    return Answer(best_of_all, _ordered(found), refused[0] if refused and not chosen else None)


def _cost(found: Candidate) -> tuple[int, int]:
    return found.plan.gpus, found.memory_bytes


def _ordered(found: Sequence[Candidate]) -> list[Candidate]:
    return sorted(
        found, key=lambda each: (each.memory_bytes, each.plan.gpu_product, each.plan.gpus)
    )


def _chosen(request: Request, best: Plan) -> Candidate:
    memory = request.gpu.memory_bytes if request.gpu else 0
    speed = _speed(request, best) if request.gpu else None
    return Candidate(best, True, best.reason, speed=speed, memory_bytes=memory)


def _speed(request: Request, best: Plan) -> Speed | None:
    for settled in _settled(request):
        if _layout(settled) == (best.gpus, best.tensor_parallel, best.nodes):
            return speed_of(request, settled)
    return None


def _layout(settled: Settled) -> tuple[int, int, int]:
    layout = settled.layout
    return layout.gpus, layout.tensor_parallel, layout.nodes


def _settled(request: Request) -> list[Settled]:
    """Other counts that would do; with a pinned layout nothing but that, since pins are kept."""
    if request.device == "cpu":
        return []
    free = _free(request)
    try:
        check(free)
        subject = subject_of(request)
        method = subject.precision.quantization
        if not _pinned(request):
            return refusal.offers(request, subject, method)
        found = layouts(request, method)[:MOST_PINNED]
    except PlanRefused:
        return []
    return [settle(subject, request, layout) for layout in found]


def _pinned(request: Request) -> bool:
    return bool(request.tensor_parallel or request.pipeline_parallel)


def _free(request: Request) -> Request:
    """The request without its count and layout, to judge or describe others."""
    return replace(request, gpu_count=None, tensor_parallel=None, pipeline_parallel=None)


def _others(request: Request, best: Plan | None) -> Iterator[Candidate]:
    """The other counts; with a count asked for, smaller layouts as several replicas."""
    taken = best and (best.gpus, best.tensor_parallel, best.nodes)
    count = request.pinned_gpus
    for settled in _settled(request):
        if _layout(settled) == taken or _layout(settled)[0] == (best and best.gpus):
            continue
        yield _candidate(request, settled, count)


def _candidate(request: Request, settled: Settled, count: int | None) -> Candidate:
    assert request.gpu is not None  # noqa: S101 - only GPUs are settled
    free = _free(request)
    made = to_plan(free, subject_of(free), settled)
    gpus = settled.layout.gpus
    return Candidate(
        plan=made,
        fits=settled.fits,
        reason=made.reason if settled.fits else refusal.shortage(free, settled)[2],
        replicas=max(1, count // gpus) if count and settled.fits else 1,
        speed=speed_of(free, settled) if settled.fits else None,
        memory_bytes=request.gpu.memory_bytes,
    )


def to_json(found: Candidate, device: str) -> dict[str, Any]:
    """The candidate as the JSON contract has it."""
    from llama_operator.render.flags import plan_args

    status = found.plan.to_status() | {"reason": found.reason}
    value: dict[str, Any] = {"fits": found.fits, "replicas": found.replicas, **status}
    if found.speed is not None and found.speed.tokens_per_second:
        value["estimate"] = _estimate(found.speed)
    return {**value, "vllmArgs": plan_args(found.plan, device)}


def _estimate(speed: Speed) -> Mapping[str, float]:
    return {
        "tokensPerSecond": round(speed.tokens_per_second, 1),
        "batch": speed.batch,
        "batchTokensPerSecond": round(speed.batch_tokens_per_second, 1),
        "firstTokenSeconds": round(speed.first_token_seconds, 4),
    }
