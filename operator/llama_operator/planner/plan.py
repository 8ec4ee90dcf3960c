"""From a request to a plan: the only entry that the operator and llamactl need.

Pure and stable: the same request gives the same plan, with the same words, on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from llama_operator.planner import lora, refusal, search
from llama_operator.planner.budget import Budget, Subject
from llama_operator.planner.checkpoint import known_bytes
from llama_operator.planner.cpu import plan_cpu
from llama_operator.planner.gpus import Gpu
from llama_operator.planner.host import Host, gpu_host
from llama_operator.planner.precision import precision_of
from llama_operator.planner.request import Device, Objective, Request, check
from llama_operator.planner.result import PerGpu, Plan
from llama_operator.planner.settle import Settled, settle
from llama_operator.planner.speed import Speed, estimate
from llama_operator.planner.transformers import plan_transformers
from llama_operator.planner.versions import engine_of

__all__ = [
    "Device", "Gpu", "Host", "Objective", "PerGpu", "Plan", "Request", "plan", "speed_of",
    "subject_of",
]  # fmt: skip


# A fleet asks for few different plans, each of them many times; one takes a quarter of a pass.
KEPT = 128


@lru_cache(maxsize=KEPT)
def plan(request: Request) -> Plan:
    """How to serve the model. Raises PlanRefused, whose reason is one of the condition Planned."""
    check(request)
    if request.engine == "transformers":
        return plan_transformers(request)
    if request.device == "cpu":
        return plan_cpu(request)
    subject = subject_of(request)
    chosen = choose(request, subject)
    return to_plan(request, subject, chosen)


def subject_of(request: Request) -> Subject:
    """What is placed on what. Raises PlanRefused for formats that the GPU lacks."""
    engine = engine_of(request.vllm_version)
    assert request.gpu is not None  # noqa: S101 - check() has refused that
    return Subject(
        shape=request.shape,
        weights_bytes=known_bytes(request.shape, request.weights_bytes),
        precision=precision_of(request, engine),
        engine=engine,
        card_bytes=request.gpu.memory_bytes,
        lora=request.lora,
    )


def choose(request: Request, subject: Subject) -> Settled:
    """The layout that serves the objective best. Raises PlanRefused where none fits."""
    method = subject.precision.quantization
    allowed = search.layouts(request, method)
    if not allowed:
        raise refusal.no_layout(request, subject, method)
    tried: list[Settled] = []
    for layout in allowed:
        # More nodes are never quicker than one: they are taken only where one does not do.
        if layout.nodes > allowed[0].nodes and any(each.fits for each in tried):
            break
        tried.append(settle(subject, request, layout))
        if tried[-1].fits and request.objective == "fit":
            return tried[-1]
    fitting = [each for each in tried if each.fits]
    if not fitting:
        raise refusal.too_small(request, subject, method, tried)
    return _best(request, fitting)


def _best(request: Request, fitting: Sequence[Settled]) -> Settled:
    def worth(found: Settled) -> tuple[float, int]:
        speed = speed_of(request, found)
        each = speed.batch_tokens_per_second / found.layout.gpus
        rate = speed.tokens_per_second if request.objective == "latency" else each
        return rate, -found.layout.gpus

    return max(fitting, key=worth)


def speed_of(request: Request, found: Settled, batch: int = 0) -> Speed:
    """The estimated speed of a settled layout for `batch` requests.

    0 stands for the concurrency that was asked for, or for as many as it holds, 256 at most.
    """
    assert request.gpu is not None  # noqa: S101 - only GPUs are estimated
    return estimate(found.budget, request.gpu, request.shape, batch or request.concurrency or 0)


def to_plan(request: Request, subject: Subject, chosen: Settled) -> Plan:
    """The plan of a settled layout."""
    found, layout = chosen.budget, chosen.layout
    return Plan(
        gpus=layout.gpus,
        gpu_product=request.gpu.product if request.gpu else "",
        tensor_parallel=layout.tensor_parallel,
        pipeline_parallel=layout.pipeline_parallel,
        nodes=layout.nodes,
        dtype=subject.precision.dtype,
        quantization=subject.precision.quantization or "none",
        max_model_len=chosen.max_model_len,
        max_num_seqs=found.settings.max_num_seqs,
        max_num_batched_tokens=found.settings.max_num_batched_tokens,
        gpu_memory_utilization=found.settings.utilization,
        kv_tokens=found.kv_tokens,
        kv_cache_bytes=found.kv_tokens * found.tightest.kv_per_token,
        per_gpu=per_gpu(found),
        host=gpu_host(
            layout.gpus // layout.nodes,
            found.settings.max_num_seqs,
            chosen.max_model_len,
            subject.engine.runner == "V2",
            lora.host_bytes(request.shape, request.lora, subject.precision.bytes),
        ),
        reason=reason(request, chosen),
        kv_cache_dtype=request.kv_cache_dtype,
        online_quantization=subject.precision.online,
        enforce_eager=request.enforce_eager,
        changes=chosen.changes,
    )


def per_gpu(found: Budget) -> PerGpu:
    """The fullest card, byte by byte."""
    tokens = found.kv_tokens
    rank = max(found.ranks, key=lambda each: each.fixed + tokens * each.kv_per_token)
    kv_cache = tokens * rank.kv_per_token
    named = rank.weights + rank.activation + rank.graphs_apart
    return PerGpu(
        weights_bytes=rank.weights,
        kv_cache_bytes=kv_cache,
        activation_bytes=rank.activation,
        cuda_graph_bytes=rank.graphs_apart,
        other_bytes=rank.fixed - named,
        free_bytes=found.card_bytes - rank.fixed - kv_cache,
    )


def reason(request: Request, chosen: Settled) -> str:
    """One sentence: the cut, what it holds, and what was changed for it."""
    found, rank = chosen.budget, chosen.budget.tightest
    product = request.gpu.product if request.gpu else "GPU"
    text = (
        f"{chosen.layout} on {refusal.gpus(chosen.layout.gpus)} {product}: "
        f"weights {refusal.gib(rank.weights)} a GPU, {found.kv_tokens:,} KV tokens "
        f"for a context of {chosen.max_model_len:,}"
    )
    assumed = engine_of(request.vllm_version).assumed
    return "; ".join((text, *chosen.changes, *([assumed] if assumed else [])))
