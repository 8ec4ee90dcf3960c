"""Plans for transformers: one request at a time, whole layers on each GPU, nothing cut.

A request's cache grows with it and is not paged, and its whole prompt is computed at once, so a
token costs memory twice: in the cache, and while the prompt runs. No flag of the server bounds
either; the launcher refuses what is longer than the context planned here. The figures are sizes
of tensors with room to spare, not measured on GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from llama_operator.api.errors import PlanRefused
from llama_operator.catalog.shape import DENSE, kv_bytes_per_token
from llama_operator.planner.budget import stages_of
from llama_operator.planner.checkpoint import known_bytes
from llama_operator.planner.host import Host, cpu_host, gpu_host
from llama_operator.planner.precision import precision_of
from llama_operator.planner.refusal import gib, gpus
from llama_operator.planner.request import Request, refuse_parallel
from llama_operator.planner.result import PerGpu, Plan
from llama_operator.planner.versions import Engine
from llama_operator.planner.weights import rank_weights

# The context of CUDA, and what torch's allocator cannot use, in hundredths of the card.
_CONTEXT = 552_402_944
_LOST_PERCENT = 5
# Less than this is no use to anybody who left the context to us.
_LEAST_CONTEXT = 2048
_STEP = 16
# As for vLLM on a CPU: the model's whole context would take tens of GiB.
_CPU_CONTEXT = 8192
# Any card that torch runs on; formats are judged as for vLLM.
_TORCH = Engine("V2", 0.0, min_capability=0.0)
_ONLY_VLLM = "has no meaning with transformers, which computes one request at a time"


class _Share(NamedTuple):
    """The fullest GPU: bytes of weights, and of each token in the cache and while computed."""

    gpus: int
    weights: int
    cache: int
    working: int
    room: int

    @property
    def tokens(self) -> int:
        return max(0, self.room // (self.cache + self.working)) // _STEP * _STEP


def plan_transformers(request: Request) -> Plan:
    """The plan. Raises PlanRefused for what does not fit, and for settings of vLLM."""
    _check(request)
    dtype = precision_of(request, _TORCH).dtype
    if request.device == "cpu":
        share = _share(request, 1, 0)
        length = request.max_model_len or min(request.shape.max_position, _CPU_CONTEXT)
        working = length * (share.cache + share.working)
        return _plan(request, dtype, share, length, cpu_host(1, share.weights, working))
    share = _smallest(request)
    length = request.max_model_len or min(request.shape.max_position, share.tokens)
    return _plan(request, dtype, share, length, gpu_host(1, 1, length, pins=False))


def _check(request: Request) -> None:
    if request.shape.architecture != DENSE:
        raise PlanRefused(
            "ModelNotServable",
            f"transformers is planned for {DENSE} only, this is {request.shape.architecture}",
            field="spec.engine.type",
            fix="Use vllm",
        )
    if request.shape.quantization or request.quantization not in (None, "none"):
        raise PlanRefused(
            "QuantizationUnsupported",
            "transformers serves checkpoints of 16 bits, as they are",
            field="spec.engine.type",
            fix="Take a checkpoint that is not quantised and leave spec.sizing.quantization out, "
            "or use vllm",
        )
    for field, given in _meaningless(request):
        if given:
            raise refuse_parallel(field, _ONLY_VLLM, "Remove it, or use spec.engine.type: vllm")
    _check_layers(request)


def _meaningless(request: Request) -> Iterator[tuple[str, bool]]:
    yield "spec.sizing.tensorParallel", (request.tensor_parallel or 1) > 1
    yield "spec.sizing.nodes", (request.nodes or 1) > 1
    yield "spec.sizing.maxNumSeqs", request.max_num_seqs is not None
    yield "spec.sizing.maxNumBatchedTokens", request.max_num_batched_tokens is not None
    yield "spec.sizing.gpuMemoryUtilization", request.gpu_memory_utilization is not None
    yield "spec.sizing.kvCacheDtype", request.kv_cache_dtype != "auto"
    yield "spec.sizing.objective", request.objective != "fit"
    yield "spec.engine.enforceEager", request.enforce_eager
    yield "--concurrency", (request.concurrency or 1) > 1


def _check_layers(request: Request) -> None:
    count = request.gpu_count or request.pipeline_parallel or 1
    most = min(request.gpus_per_node, request.shape.num_layers)
    if request.device == "cpu":
        most = 1
    if count > most:
        raise refuse_parallel(
            "spec.gpu.count",
            f"{count} {'ranks' if request.device == 'cpu' else 'GPUs'}: transformers puts whole "
            f"layers on each, on one node; here at most {most}",
            f"At most {most}, or use spec.engine.type: vllm",
        )


def _counts(request: Request) -> list[int]:
    pinned = request.gpu_count or request.pipeline_parallel
    if pinned:
        return [pinned]
    return list(range(1, min(request.gpus_per_node, request.shape.num_layers) + 1))


def _smallest(request: Request) -> _Share:
    """The fewest GPUs that hold the model and the context that was asked for."""
    wanted = request.max_model_len or min(request.shape.max_position, _LEAST_CONTEXT)
    card = request.gpu.memory_bytes if request.gpu else 0
    tried = [_share(request, count, card) for count in _counts(request)]
    found = next((each for each in tried if each.tokens >= wanted), None)
    if found is None:
        raise _too_small(request, max(tried, key=lambda each: (each.tokens, each.room)), wanted)
    return found


def _share(request: Request, count: int, card: int) -> _Share:
    shape, precision = request.shape, precision_of(request, _TORCH)
    size = known_bytes(shape, request.weights_bytes)
    stages = stages_of(shape.num_layers, count)
    weights = max(rank_weights(shape, size, precision, 1, each) for each in stages)
    layers = max(each.layers for each in stages)
    cache = kv_bytes_per_token(shape, 1, layers, precision.kv_bytes)
    # Gate, up and their product; hidden states, queries, and keys and values for all heads. The
    # cache of one layer is copied when it grows.
    numbers = 3 * shape.intermediate_size + 8 * shape.hidden_size
    working = numbers * precision.bytes + cache // layers
    lost = _CONTEXT + card * _LOST_PERCENT // 100
    return _Share(count, weights, cache, working, card - weights - lost)


def _too_small(request: Request, best: _Share, wanted: int) -> PlanRefused:
    card = request.gpu.memory_bytes if request.gpu else 0
    on = f"{gpus(best.gpus)} {request.gpu.product if request.gpu else ''} of {gib(card)}"
    each = f"weights of {gib(best.weights)} a GPU leave {best.tokens:,} tokens of context"
    usable = request.max_model_len is not None and best.tokens >= _STEP
    more = request.gpu_count is not None and best.gpus < request.gpus_per_node
    ways = [f"at most {best.tokens} tokens"] if usable else []
    ways += ["more GPUs"] if more else []
    return PlanRefused(
        "ContextTooLong" if usable else "InsufficientGPUMemory",
        f"{on} with transformers: {each}, {wanted:,} are needed",
        field="spec.sizing.maxModelLen" if usable else "spec.gpu.count",
        fix=f"Use {', or '.join((*ways, 'larger GPUs', 'spec.engine.type: vllm'))}",
    )


def _plan(request: Request, dtype: str, share: _Share, length: int, host: Host) -> Plan:
    changes = _changes(request, length)
    card = request.gpu.memory_bytes if request.gpu and request.device != "cpu" else 0
    cache, working = length * share.cache, length * share.working
    other = _CONTEXT + card * _LOST_PERCENT // 100 if card else 0
    free = card - share.weights - cache - working - other if card else 0
    return Plan(
        gpus=share.gpus,
        gpu_product=request.gpu.product if card and request.gpu else "",
        tensor_parallel=1,
        pipeline_parallel=share.gpus,
        nodes=1,
        dtype=dtype,
        quantization="none",
        max_model_len=length,
        max_num_seqs=1,
        max_num_batched_tokens=length,
        gpu_memory_utilization=0.0,
        kv_tokens=length,
        kv_cache_bytes=cache,
        per_gpu=PerGpu(share.weights, cache, working if card else 0, 0, other, free),
        host=host,
        reason="; ".join((_reason(request, share, length), *changes)),
        changes=changes,
    )


def _reason(request: Request, share: _Share, length: int) -> str:
    where = "one CPU process"
    if request.device != "cpu" and request.gpu:
        where = f"{gpus(share.gpus)} {request.gpu.product}, whole layers on each"
    return (
        f"transformers on {where}: weights {gib(share.weights)}, one request at a time with a "
        f"context of {length:,}"
    )


def _changes(request: Request, length: int) -> tuple[str, ...]:
    longest = request.shape.max_position
    if request.max_model_len or length == longest:
        return ()
    why = "to spare memory" if request.device == "cpu" else "which is what fits"
    return (f"context lowered from {longest:,} to {length:,} tokens, {why}",)
