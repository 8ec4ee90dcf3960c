"""All layouts that come into question, judged by the planner, and the one to take.

For a named GPU the choice is the planner's own, so that `plan`, `deploy` and the operator agree
to the byte. Where several GPUs are compared, RULES says which of their choices wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llama_operator.api.errors import PlanRefused
from llama_operator.planner import refusal
from llama_operator.planner.delivery import Delivery
from llama_operator.planner.plan import Plan, Request, choose, plan, speed_of, subject_of, to_plan
from llama_operator.planner.request import check
from llama_operator.planner.search import layouts
from llama_operator.planner.settle import Settled, settle
from llama_operator.planner.speed import Speed
from llamactl.asking import Asked

MOST_PINNED = 8
RULES = {
    "fit": "the fewest GPUs, then those with the least memory",
    "throughput": "the most tokens/s per GPU with all requests together, then the fewest GPUs",
    "latency": "the most tokens/s for one request, then the fewest GPUs",
}


@dataclass(frozen=True)
class Candidate:
    """One layout on one GPU; `reason` says what it holds, or what it lacks."""

    plan: Plan
    fits: bool
    reason: str
    request: Request
    replicas: int = 1
    speed: Speed | None = None
    nodes: tuple[str, ...] = ()

    @property
    def memory_bytes(self) -> int:
        """Bytes of one GPU; 0 on cpus."""
        return self.request.gpu.memory_bytes if self.request.gpu else 0


@dataclass(frozen=True)
class Answer:
    """Everything that was judged, and the choice; without one `refused` says why."""

    chosen: Candidate | None
    candidates: Sequence[Candidate]
    refused: PlanRefused | None = None


def answer(asked: Sequence[Asked]) -> Answer:
    """Judge one request per GPU. Never raises PlanRefused."""
    found: list[Candidate] = []
    chosen: list[Candidate] = []
    refused: list[PlanRefused] = []
    for each in asked:
        try:
            mine = _chosen(each)
        except PlanRefused as error:
            refused.append(error)
            found += _others(each, None)
            continue
        chosen.append(mine)
        found += [mine, *_others(each, mine.plan)]
    best = min(chosen, key=_rank, default=None)
    return Answer(best, _ordered(found), refused[0] if refused and not chosen else None)


def _rank(found: Candidate) -> tuple[float, int, int, str]:
    """Sorts what RULES prefers first; ties go to fewer, then smaller GPUs."""
    worth = 0.0
    if found.speed and found.request.objective == "throughput":
        worth = found.speed.batch_tokens_per_second / found.plan.gpus
    elif found.speed and found.request.objective == "latency":
        worth = found.speed.tokens_per_second
    return -worth, found.plan.gpus, found.memory_bytes, found.plan.gpu_product


def _ordered(found: Sequence[Candidate]) -> list[Candidate]:
    return sorted(
        found, key=lambda each: (each.memory_bytes, each.plan.gpu_product, each.plan.gpus)
    )


def _chosen(asked: Asked) -> Candidate:
    request = asked.request
    if request.device == "cpu":
        best = plan(request)
        return Candidate(best, True, best.reason, request)
    check(request)
    subject = subject_of(request)
    settled = choose(request, subject)
    best = to_plan(request, subject, settled)
    speed = speed_of(request, settled)
    return Candidate(best, True, best.reason, request, speed=speed, nodes=asked.nodes)


def _layout(settled: Settled) -> tuple[int, int, int]:
    layout = settled.layout
    return layout.gpus, layout.tensor_parallel, layout.nodes


def _settled(request: Request) -> list[Settled]:
    """Other counts that would do; with a pinned layout nothing but that, since pins are kept."""
    if request.device == "cpu":
        return []
    pinned = request.tensor_parallel or request.pipeline_parallel
    try:
        check(replace(request, gpu_count=None) if pinned else _free(request))
        subject = subject_of(request)
        method = subject.precision.quantization
        if not pinned:
            return refusal.offers(request, subject, method)
        found = layouts(request, method)[:MOST_PINNED]
    except PlanRefused:
        return []
    return [settle(subject, request, layout) for layout in found]


def _free(request: Request) -> Request:
    """The request without its count and layout, to judge or describe others."""
    return replace(request, gpu_count=None, tensor_parallel=None, pipeline_parallel=None)


def _others(asked: Asked, best: Plan | None) -> Iterator[Candidate]:
    """The other counts; with a count asked for, smaller layouts as several replicas."""
    request = asked.request
    taken = best and (best.gpus, best.tensor_parallel, best.nodes)
    for settled in _settled(request):
        if _layout(settled) == taken or _layout(settled)[0] == (best and best.gpus):
            continue
        yield _candidate(asked, settled)


def _candidate(asked: Asked, settled: Settled) -> Candidate:
    request, count = asked.request, asked.request.pinned_gpus
    free = _free(request)
    made = to_plan(free, subject_of(free), settled)
    gpus = settled.layout.gpus
    return Candidate(
        plan=made,
        fits=settled.fits,
        reason=made.reason if settled.fits else refusal.shortage(free, settled)[2],
        request=request,
        replicas=max(1, count // gpus) if count and settled.fits else 1,
        speed=speed_of(free, settled) if settled.fits else None,
        nodes=asked.nodes,
    )


def to_json(found: Candidate, delivery: Delivery, commit: str) -> dict[str, Any]:
    """The candidate as the JSON contract has it, with keys of ours beside the contract's."""
    from llama_operator.render.flags import plan_args

    status = found.plan.to_status() | {"reason": found.reason}
    value: dict[str, Any] = {"fits": found.fits, "replicas": found.replicas, **status}
    if found.speed is not None and found.speed.tokens_per_second:
        value["estimate"] = _estimate(found.speed)
    tensors = found.request.weights_bytes
    value["checkpoint"] = {
        "commit": commit or None,
        "tensorBytes": tensors or None,
        **_delivered(delivery),
    }
    if found.nodes:
        value["nodeNames"] = list(found.nodes)
    args = plan_args(found.plan, found.request.device)
    if found.plan.enforce_eager:
        args.append("--enforce-eager")
    return {**value, "vllmArgs": args}


def _estimate(speed: Speed) -> Mapping[str, float]:
    return {
        "tokensPerSecond": round(speed.tokens_per_second, 1),
        "batch": speed.batch,
        "batchTokensPerSecond": round(speed.batch_tokens_per_second, 1),
        "firstTokenSeconds": round(speed.first_token_seconds, 4),
    }


def _delivered(found: Delivery) -> Mapping[str, float]:
    return {
        "fileBytes": found.file_bytes,
        "volumeBytes": found.volume_bytes,
        "bandwidthBytesPerSecond": round(found.bandwidth),
        "downloadSeconds": round(found.download_seconds, 1),
        "readBytesPerSecond": round(found.read_speed),
        "loadSeconds": round(found.load_seconds, 1),
    }
