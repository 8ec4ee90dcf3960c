"""What is asked of the planner, and the checks that need no arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from llama_operator.api.errors import PlanRefused
from llama_operator.catalog.config import check_architecture
from llama_operator.catalog.shape import Shape
from llama_operator.planner import versions
from llama_operator.planner.gpus import Gpu
from llama_operator.planner.versions import DEFAULT_VLLM_VERSION

Device = Literal["cuda", "rocm", "cpu"]
Objective = Literal["fit", "throughput", "latency"]

_MOST: Final = {
    "spec.gpu.count": 4096,
    "spec.sizing.tensorParallel": 1024,
    "spec.sizing.pipelineParallel": 1024,
    "spec.sizing.nodes": 1024,
    "spec.sizing.maxModelLen": 1 << 30,
    "spec.sizing.maxNumSeqs": 1 << 16,
    "spec.sizing.maxNumBatchedTokens": 1 << 24,
    "--concurrency": 1 << 16,
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """A model, the GPUs it may have, and pins. None means auto: the planner decides and says so.

    `gpu_count` is the exact number of GPUs of one replica (on cpu: of ranks). `nodes` None lets
    the planner use several, at most `most_nodes` where it is known how many there are.
    `concurrency` asks for a KV cache that holds so many sequences of
    the full context at once; `max_num_seqs` is only the flag.
    """

    shape: Shape
    weights_bytes: int
    engine: str = "vllm"
    device: str = "cuda"
    gpu: Gpu | None = None
    gpus_per_node: int = 8
    gpu_count: int | None = None
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    nodes: int | None = None
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    dtype: str = "auto"
    quantization: str | None = None
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False
    objective: str = "fit"
    vllm_version: str = DEFAULT_VLLM_VERSION
    model_name: str = ""
    concurrency: int | None = None
    most_nodes: int | None = None

    @property
    def pinned_gpus(self) -> int | None:
        """GPUs of one replica as far as pins tell."""
        if self.gpu_count is None and self.tensor_parallel and self.pipeline_parallel:
            return self.tensor_parallel * self.pipeline_parallel
        return self.gpu_count


def refuse_parallel(field: str, message: str, fix: str = "") -> PlanRefused:
    """A refusal with the reason InvalidParallelism."""
    return PlanRefused("InvalidParallelism", message, field=field, fix=fix)


def check(request: Request) -> None:
    """Raises PlanRefused for what is wrong whatever the GPU: ranges, contradictions, context."""
    _check_words(request)
    for field, value in _numbers(request):
        _check_count(field, value)
    _check_utilization(request.gpu_memory_utilization)
    check_architecture(request.shape.architecture, "spec.model")
    versions.check_architecture(request.shape.architecture, request.vllm_version)
    if not 1 <= request.gpus_per_node <= 1024:
        raise refuse_parallel(
            "--gpus-per-node", f"{request.gpus_per_node} is not from 1 to 1024", "8 is usual"
        )
    _check_pins(request)
    if request.most_nodes and (request.nodes or 1) > request.most_nodes:
        raise refuse_parallel(
            "spec.sizing.nodes",
            f"{request.nodes} is more than the {request.most_nodes} nodes that have these GPUs",
            f"At most {request.most_nodes}",
        )
    _check_context(request)
    if request.device != "cpu" and request.gpu is None:
        raise PlanRefused(
            "GPUUnknown",
            "no GPU is known to plan for",
            field="spec.gpu.product",
            fix="Set it to a value of the node label nvidia.com/gpu.product",
        )


def _numbers(request: Request) -> Iterator[tuple[str, int | None]]:
    yield "spec.gpu.count", request.gpu_count
    yield "spec.sizing.tensorParallel", request.tensor_parallel
    yield "spec.sizing.pipelineParallel", request.pipeline_parallel
    yield "spec.sizing.nodes", request.nodes
    yield "spec.sizing.maxModelLen", request.max_model_len
    yield "spec.sizing.maxNumSeqs", request.max_num_seqs
    yield "spec.sizing.maxNumBatchedTokens", request.max_num_batched_tokens
    yield "--concurrency", request.concurrency


def _check_count(field: str, value: int | None) -> None:
    most = _MOST[field]
    if value is None or (not isinstance(value, bool) and 1 <= value <= most):
        return
    raise refuse_parallel(field, f"{value} is not from 1 to {most}", "Leave it out for auto")


def _check_words(request: Request) -> None:
    words = {
        "spec.engine.type": (request.engine, ("vllm", "transformers")),
        "spec.engine.device": (request.device, ("cuda", "rocm", "cpu")),
        "spec.sizing.objective": (request.objective, ("fit", "throughput", "latency")),
        "spec.sizing.dtype": (request.dtype, ("auto", "bfloat16", "float16", "float32")),
        "spec.sizing.kvCacheDtype": (request.kv_cache_dtype, ("auto", "fp8")),
    }
    for field, (value, known) in words.items():
        if value not in known:
            raise refuse_parallel(field, f"{value!r} is not known", f"One of {', '.join(known)}")


def _check_utilization(value: float | None) -> None:
    if value is None or 0.1 <= value <= 0.99:
        return
    raise PlanRefused(
        "InsufficientGPUMemory",
        f"{value:g} is not from 0.1 to 0.99",
        field="spec.sizing.gpuMemoryUtilization",
        fix="Leave it out for auto",
    )


def _check_pins(request: Request) -> None:
    count, tensor, pipeline = (
        request.gpu_count,
        request.tensor_parallel,
        request.pipeline_parallel,
    )
    if count and tensor and pipeline and count != tensor * pipeline:
        raise refuse_parallel(
            "spec.gpu.count",
            f"{count} is not tensorParallel {tensor} x pipelineParallel {pipeline}",
            "Remove one of the three",
        )
    layers = request.shape.num_layers
    if pipeline and pipeline > layers:
        raise refuse_parallel(
            "spec.sizing.pipelineParallel",
            f"{pipeline} stages are more than the model's {layers} layers",
            f"At most {layers}",
        )
    tokens, seqs = request.max_num_batched_tokens, request.max_num_seqs
    if tokens and seqs and tokens < seqs:
        raise refuse_parallel(
            "spec.sizing.maxNumBatchedTokens",
            f"{tokens} is less than maxNumSeqs {seqs}, which vLLM refuses",
            f"At least {seqs}",
        )


def _check_context(request: Request) -> None:
    longest, asked = request.shape.max_position, request.max_model_len
    if asked is not None and asked > longest:
        raise PlanRefused(
            "ContextTooLong",
            f"{asked:,} tokens are beyond the model's {longest:,}",
            [str(longest)],
            field="spec.sizing.maxModelLen",
            fix=f"At most {longest}",
        )
