"""Plans for cpus: ranks are processes, and the KV cache is set instead of found.

vLLM would take nine tenths of the machine's memory, so the cache gets what two requests of full
length need, by --kv-cache-memory-bytes.
"""

from __future__ import annotations

from llama_operator.api.errors import PlanRefused
from llama_operator.catalog.shape import Shape, kv_bytes_per_token
from llama_operator.planner import lora
from llama_operator.planner.checkpoint import known_bytes
from llama_operator.planner.host import cpu_host
from llama_operator.planner.layout import (
    Layout,
    tensor_parallel_problem,
    valid_tensor_parallel,
)
from llama_operator.planner.precision import precision_of
from llama_operator.planner.request import Request
from llama_operator.planner.result import PerGpu, Plan
from llama_operator.planner.search import layouts
from llama_operator.planner.versions import engine_of
from llama_operator.planner.weights import MIB, Precision, Stage, rank_weights

_STEP = 64 * MIB
_SEQUENCES = 16
_BATCHED_TOKENS = 2048
# vLLM's CPU attention keeps blocks of 128 tokens.
_CPU_BLOCK = 128
_FULL_LENGTH_REQUESTS = 2
# Two requests of 131,072 tokens would take 32 GiB of memory with an 8B model.
_AUTOMATIC_CONTEXT = 8192


def plan_cpu(request: Request) -> Plan:
    """The plan of a CPU server. Raises PlanRefused (InvalidParallelism) for ranks that no cut has."""
    precision = precision_of(request, engine_of(request.vllm_version))
    found = layouts(request, precision.quantization)
    if not found:
        raise _no_ranks(request, precision)
    layout = found[0]
    length = request.max_model_len or min(request.shape.max_position, _AUTOMATIC_CONTEXT)
    stage = Stage(-(-request.shape.num_layers // layout.pipeline_parallel))
    each = kv_bytes_per_token(
        request.shape, layout.tensor_parallel, stage.layers, precision.kv_bytes
    )
    sequences = max(_FULL_LENGTH_REQUESTS, request.concurrency or 0)
    kv_bytes = max(1, -(-sequences * length * each // _STEP)) * _STEP
    size = known_bytes(request.shape, request.weights_bytes)
    weights = rank_weights(request.shape, size, precision, layout.tensor_parallel, stage)
    number = precision.bytes
    weights += lora.buffer_bytes(
        request.shape, request.lora, number, layout.tensor_parallel, stage
    ) + lora.host_bytes(request.shape, request.lora, number)
    seqs, tokens = _batch(request)
    kv_tokens = kv_bytes // (each * _CPU_BLOCK) * _CPU_BLOCK
    ranks = layout.gpus
    changes = _changes(request, length)
    return Plan(
        gpus=ranks,
        gpu_product="",
        tensor_parallel=layout.tensor_parallel,
        pipeline_parallel=layout.pipeline_parallel,
        nodes=layout.nodes,
        dtype=precision.dtype,
        quantization=precision.quantization or "none",
        max_model_len=length,
        max_num_seqs=seqs,
        max_num_batched_tokens=tokens,
        gpu_memory_utilization=request.gpu_memory_utilization or 0.0,
        kv_tokens=kv_tokens,
        kv_cache_bytes=kv_bytes,
        per_gpu=PerGpu(weights, kv_bytes, 0, 0, 0, 0),
        host=cpu_host(ranks // layout.nodes, ranks // layout.nodes * weights, ranks * kv_bytes),
        reason="; ".join((_reason(layout, kv_tokens, length), *changes)),
        changes=changes,
        kv_cache_dtype=request.kv_cache_dtype,
        enforce_eager=request.enforce_eager,
    )


def _batch(request: Request) -> tuple[int, int]:
    seqs = request.max_num_seqs or max(_SEQUENCES, request.concurrency or 0)
    tokens = request.max_num_batched_tokens or max(_BATCHED_TOKENS, seqs)
    return min(seqs, tokens) if request.max_num_seqs is None else seqs, tokens


def _reason(layout: Layout, kv_tokens: int, length: int) -> str:
    noun = "rank" if layout.gpus == 1 else "ranks"
    return (
        f"{layout} on {layout.gpus} CPU {noun}: {kv_tokens:,} KV tokens for a context of {length:,}"
    )


def _changes(request: Request, length: int) -> tuple[str, ...]:
    longest = request.shape.max_position
    if request.max_model_len or length == longest:
        return ()
    return (
        f"context lowered from {longest:,} to {length:,} tokens to spare memory; "
        "spec.sizing.maxModelLen raises it",
    )


def _no_ranks(request: Request, precision: Precision) -> PlanRefused:
    count = request.pinned_gpus or 0
    problem = tensor_parallel_problem(request.shape, count, precision.quantization)
    valid = valid_ranks(request.shape, precision.quantization)
    near = sorted(valid, key=lambda each: (abs(each - count), each))
    return PlanRefused(
        "InvalidParallelism",
        f"{count} ranks: {problem or 'no tensor parallel size gives them'}",
        [str(each) for each in near],
        field="spec.gpu.count",
        fix=f"Valid: {', '.join(map(str, valid))}",
    )


def valid_ranks(shape: Shape, quantization: str) -> list[int]:
    """Every number of tensor parallel ranks that the model can be cut in, up to 64."""
    return valid_tensor_parallel(shape, quantization, 64)
