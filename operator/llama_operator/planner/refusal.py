"""Refusals: the constraint with its numbers, and the nearest choices with what they would hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from llama_operator.api.errors import PlanRefused
from llama_operator.planner.budget import Subject
from llama_operator.planner.layout import Layout, tensor_parallel_problem
from llama_operator.planner.memory import BLOCK
from llama_operator.planner.request import Request
from llama_operator.planner.search import layouts
from llama_operator.planner.settle import Settled, allowed_utilization, settle

GIB = 1 << 30
_MOST_CHOICES = 6


def gib(size: int) -> str:
    """Bytes as GiB with one decimal."""
    return f"{size / GIB:,.1f} GiB"


def gpus(count: int) -> str:
    """ "1 GPU", "2 GPUs"."""
    return f"{count} GPU" if count == 1 else f"{count} GPUs"


def no_layout(request: Request, subject: Subject, method: str) -> PlanRefused:
    """The refusal of a count (or of pins) that no layout has."""
    count = request.pinned_gpus
    if not count:
        return _no_spread(request)
    noun = gpus(count).split(" ")[1]
    choices, text = _offered(offers(request, subject, method), count)
    return PlanRefused(
        "InvalidParallelism",
        f"{count} {noun}: {_why_none(request, method, count)}",
        choices,
        field="spec.gpu.count",
        fix=f"Valid: {text}" if text else "Leave spec.gpu.count out for auto",
    )


def _no_spread(request: Request) -> PlanRefused:
    nodes, each = request.nodes or 1, request.gpus_per_node
    pins = [
        f"{name} {pin}"
        for name, pin in (
            ("tensorParallel", request.tensor_parallel),
            ("pipelineParallel", request.pipeline_parallel),
        )
        if pin
    ]
    spread = f"over {nodes} nodes of {each} GPUs" if nodes > 1 else f"on a node of {each} GPUs"
    return PlanRefused(
        "InvalidParallelism",
        f"no layout {('with ' + ' and '.join(pins) + ' ') if pins else ''}spreads evenly {spread}",
        field="spec.sizing.nodes",
        fix="Leave it out for auto, or set spec.gpu.count",
    )


def _why_none(request: Request, method: str, count: int) -> str:
    each, nodes = request.gpus_per_node, request.nodes or request.most_nodes
    room = each * (nodes or 1)
    if nodes and count > room:
        return f"{nodes} nodes of {each} hold {room}" if room > each else f"a node has {each}"
    problem = tensor_parallel_problem(request.shape, request.tensor_parallel or count, method)
    return problem or f"no tensor parallel size within a node of {each} divides them"


def offers(request: Request, subject: Subject, method: str) -> list[Settled]:
    """What other counts would hold, fewest GPUs first; several nodes only where one is too small."""
    free = replace(request, gpu_count=None, pipeline_parallel=None, tensor_parallel=None)
    by_count: dict[int, Layout] = {}
    for each in layouts(free, method):
        by_count.setdefault(each.gpus, each)
    found: list[Settled] = []
    for layout in by_count.values():
        enough = any(each.fits for each in found) or len(found) >= 2 * _MOST_CHOICES
        if enough and layout.nodes > _nodes_of(request):
            break
        found.append(settle(subject, free, layout))
    return found


def _nodes_of(request: Request) -> int:
    return -(-(request.pinned_gpus or 1) // request.gpus_per_node)


def _offered(found: Sequence[Settled], count: int) -> tuple[list[str], str]:
    near = sorted(found, key=lambda each: abs(each.layout.gpus - count))[:_MOST_CHOICES]
    listed = sorted(near, key=lambda each: each.layout.gpus)
    good = [str(each.layout.gpus) for each in near if each.fits]
    return good, "; ".join(describe(each) for each in listed)


def describe(found: Settled) -> str:
    """One choice: "4 (tensor parallel 4, weights 32.9 GiB each, 423,582 KV tokens)"."""
    layout = found.layout
    cut = f"tensor parallel {layout.tensor_parallel}"
    if layout.pipeline_parallel > 1:
        cut += f" x pipeline parallel {layout.pipeline_parallel}"
    rank = found.budget.tightest
    holds = f"{found.budget.kv_tokens:,} KV tokens" if found.fits else "too little memory"
    return f"{layout.gpus} ({cut}, weights {gib(rank.weights)} a GPU, {holds})"


def too_small(
    request: Request, subject: Subject, method: str, tried: Sequence[Settled]
) -> PlanRefused:
    """The refusal where layouts exist but none holds what was asked."""
    best = _nearest(tried)
    fitting = [each for each in offers(request, subject, method) if each.fits]
    choices = [str(each.layout.gpus) for each in fitting[:_MOST_CHOICES]]
    field, reason, said = shortage(request, best)
    ways = list(_ways(request, best, fitting, field))
    return PlanRefused(
        reason,
        said,
        choices,
        field=field,
        fix=_sentence(ways),
    )


def _nearest(tried: Sequence[Settled]) -> Settled:
    """The layout that fails by least: the first whose cache would do but for the card, if any."""
    enough = (each for each in tried if each.budget.kv_tokens >= each.needed)
    most = max(tried, key=lambda each: (each.budget.holds, each.budget.kv_tokens))
    return next(enough, most)


def shortage(request: Request, best: Settled) -> tuple[str, str, str]:
    """Field, reason and sentence of what a layout lacks."""
    found, rank = best.budget, best.budget.tightest
    card, count = gib(found.card_bytes), best.layout.gpus
    product = request.gpu.product if request.gpu else ""
    on = f"{gpus(count)} {product} of {card}"
    if not found.loads and rank.loading > rank.weights:
        return (
            "spec.sizing.quantization",
            "InsufficientGPUMemory",
            f"{on}: vLLM {request.vllm_version} loads all {gib(rank.loading)} a GPU in 16 bits "
            "before it makes fp8 of them",
        )
    batch = _pinned_batch(request)
    if batch and not found.holds and rank.activation > rank.weights // 4:
        field, value = batch
        return (
            field,
            "InsufficientGPUMemory",
            f"{value:,} on {on}: a batch of {found.settings.max_num_seqs:,} sequences takes "
            f"{gib(rank.fixed - rank.weights)} a GPU beside the weights of {gib(rank.weights)}",
        )
    if found.kv_tokens and not found.holds:
        over = gib(-found.card_room)
        share = found.settings.utilization
        return (
            "spec.sizing.gpuMemoryUtilization",
            "InsufficientGPUMemory",
            f"{share:g} on {on}: KV cache, CUDA graphs, NCCL and a full batch need {over} more than "
            "the card has, so the server would run out of memory under load",
        )
    if found.kv_tokens < BLOCK:
        weights = gib(rank.weights)
        return (
            "spec.gpu.count",
            "InsufficientGPUMemory",
            f"{on}: weights of {weights} a GPU leave no room for a KV cache",
        )
    needed, have = best.needed, found.kv_tokens
    room, wants = gib(have * rank.kv_per_token), gib(needed * rank.kv_per_token)
    said = (
        f"{on}: {needed:,} tokens need {wants} of KV cache a GPU, {room} is left: {have:,} tokens"
    )
    if request.max_model_len:
        return "spec.sizing.maxModelLen", "ContextTooLong", said
    return "spec.gpu.count", "InsufficientGPUMemory", said


def _pinned_batch(request: Request) -> tuple[str, int] | None:
    """The pin that fixes the size of a batch, where the share of the card is left to us."""
    if request.gpu_memory_utilization is not None:
        return None
    pins = {
        "spec.sizing.maxNumSeqs": request.max_num_seqs,
        "spec.sizing.maxNumBatchedTokens": request.max_num_batched_tokens,
        "--concurrency": request.concurrency,
    }
    return next(((field, value) for field, value in pins.items() if value), None)


def _ways(request: Request, best: Settled, fitting: Iterable[Settled], field: str) -> Iterator[str]:
    found = best.budget
    most = found.kv_tokens // (request.concurrency or 1) // BLOCK * BLOCK
    if field in ("spec.sizing.maxNumSeqs", "spec.sizing.maxNumBatchedTokens", "--concurrency"):
        yield "Lower it"
    elif request.gpu_memory_utilization and not found.holds:
        share = allowed_utilization(found)
        bears = 0.1 <= share < request.gpu_memory_utilization
        yield f"Use at most {share:g}" if bears else "Leave it out for auto"
        return
    elif found.holds and most and request.max_model_len:
        yield f"Use at most {most}"
    more = [describe(each) for each in fitting if each.layout.gpus != best.layout.gpus]
    if more:
        yield f"spec.gpu.count: {', or '.join(more[:3])}"
    elif not request.shape.quantized and request.quantization in (None, "auto", "none"):
        yield "larger GPUs, or spec.sizing.quantization: fp8"
    else:
        yield "larger GPUs"


def _sentence(ways: Sequence[str]) -> str:
    text = ", or ".join(ways)
    return text if text[0].isupper() else f"Use {text}"
