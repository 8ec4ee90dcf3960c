"""One request, judged in full: the layout to take, the others beside it, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from llama_operator.api.errors import PlanRefused
from llama_operator.planner import refusal
from llama_operator.planner.plan import Plan, choose, plan, speed_of, subject_of, to_plan
from llama_operator.planner.request import Request, check
from llama_operator.planner.search import layouts
from llama_operator.planner.settle import Settled, settle
from llama_operator.planner.speed import Speed

_MOST_PINNED: Final = 8


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One layout; `reason` says what it holds, or what it lacks.

    `plan` holds its figures even where it does not fit (`kv_tokens` may be 0). `replicas` is how
    many of it the asked GPUs would hold, `speed` None where it does not fit.
    """

    plan: Plan
    fits: bool
    reason: str
    request: Request
    replicas: int = 1
    speed: Speed | None = None

    @property
    def memory_bytes(self) -> int:
        """Bytes of one GPU; 0 on cpus."""
        return self.request.gpu.memory_bytes if self.request.gpu else 0


@dataclass(frozen=True)
class Decision:
    """The planner's answer in full; without a choice `refusal` says why.

    Candidates are sorted by GPUs, and the chosen one is among them.
    """

    chosen: Candidate | None
    candidates: tuple[Candidate, ...]
    refusal: PlanRefused | None = None


def decide(request: Request) -> Decision:
    """Judges a request and its alternatives.

    Never raises PlanRefused; LlamaError for a vLLM version that is none. There are no candidates
    where no layout can be judged: a wrong number, formats that the GPU lacks, pins that
    contradict the model.
    """
    try:
        chosen = _chosen(request)
    except PlanRefused as refused:
        return Decision(None, tuple(_by_gpus(_refused(request, refused))), refused)
    return Decision(chosen, tuple(_by_gpus([chosen, *_others(request, chosen.plan)])))


def _by_gpus(found: Iterator[Candidate] | list[Candidate]) -> list[Candidate]:
    return sorted(found, key=lambda each: each.plan.gpus)


def _chosen(request: Request) -> Candidate:
    if request.device == "cpu" or request.engine != "vllm":
        best = plan(request)
        return Candidate(plan=best, fits=True, reason=best.reason, request=request)
    check(request)
    subject = subject_of(request)
    settled = choose(request, subject)
    best = to_plan(request, subject, settled)
    return Candidate(
        plan=best,
        fits=True,
        reason=best.reason,
        request=request,
        speed=speed_of(request, settled),
    )


def _others(request: Request, best: Plan) -> Iterator[Candidate]:
    """The other counts; with a count asked for, smaller layouts as several replicas."""
    for settled in _settled(request):
        if settled.layout.gpus != best.gpus:
            yield _candidate(request, settled)


def _refused(request: Request, refused: PlanRefused) -> Iterator[Candidate]:
    """What was tried in vain, and other counts that would do."""
    longest = request.shape.max_position
    if request.max_model_len is None or request.max_model_len <= longest:
        yield from (_candidate(request, settled) for settled in _settled(request))
        return
    # No layout makes up for a context beyond the model's, but each has its cache.
    within = replace(request, max_model_len=longest)
    for settled in _settled(within):
        found = _candidate(within, settled)
        asked = replace(found.plan, max_model_len=request.max_model_len, reason=refused.message)
        yield replace(found, plan=asked, fits=False, reason=refused.message, replicas=1, speed=None)


def _settled(request: Request) -> list[Settled]:
    """Other counts that would do; with a pinned layout nothing but that, since pins are kept."""
    if request.device == "cpu" or request.engine != "vllm":
        return []
    pinned = request.tensor_parallel or request.pipeline_parallel
    try:
        check(replace(request, gpu_count=None) if pinned else _free(request))
        subject = subject_of(request)
        method = subject.precision.quantization
        if not pinned:
            return refusal.offers(request, subject, method)
        found = layouts(request, method)[:_MOST_PINNED]
    except PlanRefused:
        return []
    return [settle(subject, request, layout) for layout in found]


def _free(request: Request) -> Request:
    """The request without its count and layout, to judge or describe others."""
    return replace(request, gpu_count=None, tensor_parallel=None, pipeline_parallel=None)


def _candidate(request: Request, settled: Settled) -> Candidate:
    count, gpus = request.pinned_gpus, settled.layout.gpus
    free = _free(request)
    made = to_plan(free, subject_of(free), settled)
    reason = made.reason if settled.fits else refusal.shortage(free, settled)[2]
    return Candidate(
        plan=replace(made, reason=reason),
        fits=settled.fits,
        reason=reason,
        request=request,
        replicas=max(1, count // gpus) if count and settled.fits else 1,
        speed=speed_of(free, settled) if settled.fits else None,
    )
