"""A plan's arithmetic in words and numbers, so that whoever doubts it can redo it by hand."""

from __future__ import annotations

from collections.abc import Iterator

from llama_operator.planner import speed
from llama_operator.planner.budget import Budget, Rank, requested_bytes
from llama_operator.planner.gpus import Gpu
from llama_operator.planner.memory import BLOCK
from llama_operator.planner.plan import Request, choose, plan, speed_of, subject_of
from llama_operator.planner.request import check
from llama_operator.planner.settle import Settled
from llama_operator.planner.versions import Engine

GIB = 1 << 30
_WIDTH = 34


def explain(request: Request) -> str:
    """The arithmetic of the plan for a request, line by line. Raises PlanRefused as plan does."""
    check(request)
    if request.engine == "transformers":
        return _explain_transformers(request)
    if request.device == "cpu":
        return _explain_cpu(request)
    subject = subject_of(request)
    chosen = choose(request, subject)
    parts = [*_lines(request, subject.engine, chosen), "", *speed_lines(request, chosen)]
    return "\n".join(parts)


def _explain_transformers(request: Request) -> str:
    found = plan(request)
    each = found.per_gpu
    rows = [
        _line("weights, of the fullest GPU", each.weights_bytes, "whole layers"),
        _line("cache of one request", each.kv_cache_bytes, f"{found.max_model_len:,} tokens"),
        _line("while its prompt is computed", each.activation_bytes, "the whole prompt at once"),
        _line("CUDA, and lost by the allocator", each.other_bytes, "not measured"),
        _line("left", each.free_bytes, ""),
    ]
    return "\n".join([f"{request.model_name or 'model'}: {found.reason}", "", *rows])


def _lines(request: Request, engine: Engine, chosen: Settled) -> Iterator[str]:
    found = chosen.budget
    product = request.gpu.product if request.gpu else ""
    source = request.gpu.memory_source if request.gpu else ""
    yield f"{request.model_name or 'model'}: {chosen.layout} on {found.layout.gpus} x {product}"
    yield f"vLLM {request.vllm_version}, memory as {engine.runner} counts it" + (
        f" ({engine.assumed})" if engine.assumed else ""
    )
    yield ""
    yield from _cache_lines(found, source)
    yield ""
    yield from _card_lines(found)
    yield ""
    yield f"context {chosen.max_model_len:,} tokens; needed in the cache: {chosen.needed:,}"
    yield from (f"changed: {each}" for each in chosen.changes)


def _cache_lines(found: Budget, source: str) -> Iterator[str]:
    rank, settings = found.tightest, found.settings
    requested = requested_bytes(found.card_bytes, settings.utilization)
    batch = (
        f"{settings.max_num_batched_tokens:,} batched tokens, {settings.max_num_seqs:,} sequences"
    )
    yield _line("card, as CUDA reports it", found.card_bytes, source)
    yield _line(f"x utilisation {settings.utilization:g}", requested, "vLLM's share, rounded up")
    yield _line("- weights", rank.weights, f"{rank.stage.layers} layers on this rank")
    yield _line("- peak activation, cold start", rank.activation, batch)
    yield _line("- other than torch", rank.other, "NCCL's buffers, kernels, cuBLAS")
    if rank.kv_room != requested - rank.weights - rank.activation - rank.other:
        yield _line("- CUDA graphs, estimated", rank.graphs, "inside the share in this version")
    yield _line("= room for the KV cache", rank.kv_room, "")
    yield (
        f"{'  / (16 x ' + format(rank.kv_per_token, ',') + ' B)':{_WIDTH}}"
        f"= {rank.kv_room // (BLOCK * rank.kv_per_token):,} blocks = {found.kv_tokens:,} tokens"
    )


def _card_lines(found: Budget) -> Iterator[str]:
    tokens = found.kv_tokens
    rank = max(found.ranks, key=lambda each: each.fixed + tokens * each.kv_per_token)
    yield "the whole card under load, which vLLM does not check:"
    for name, size in _held(rank, tokens):
        yield _line(f"  {name}", size, "")
    yield _line("= free", found.card_room, "must not be negative")


def _held(rank: Rank, tokens: int) -> Iterator[tuple[str, int]]:
    cache = tokens * rank.kv_per_token
    yield "weights", rank.weights
    yield "KV cache", cache
    yield "CUDA context, NCCL", rank.outside + rank.other
    yield "CUDA graphs and a full batch", rank.working
    rest = rank.fixed - rank.weights - rank.outside - rank.other - rank.working
    yield "vLLM's buffers, rounding", rest


def _line(name: str, size: int, note: str) -> str:
    text = f"{name:{_WIDTH}}{size / GIB:>9,.3f} GiB {size:>16,} B"
    return f"{text}  {note}" if note else text


def speed_lines(request: Request, chosen: Settled) -> Iterator[str]:
    """The roofline of a layout with its numbers; one line where the GPU's speed is not known."""
    gpu, found = request.gpu, chosen.budget
    if gpu is None or not gpu.bandwidth or not gpu.flops_16:
        yield "speed: not estimated, since this GPU's bandwidth is not in the table"
        return
    guess = speed_of(request, chosen)
    prompt = speed.prompt_seconds(found, gpu, request.shape)
    operations = f"2 x {speed.active_params(request.shape):,} active parameters"
    rate = f"({gpu.flops_16 / 1e12:g} TFLOPS x {speed.FLOPS_SHARE:g})"
    yield "speed, a roofline and not a promise:"
    for batch in dict.fromkeys((1, guess.batch)):
        yield from _step_lines(request, gpu, found, batch)
    yield (
        f"  a prompt of {speed.PROMPT} tokens: {operations} x {speed.PROMPT} / "
        f"({found.layout.tensor_parallel} GPUs x {rate}) + all-reduces = {_ms(prompt)}"
    )
    yield f"  first token: the prompt + one step = {_ms(guess.first_token_seconds)}"
    yield f"  one request: 1 / its step = {guess.tokens_per_second:,.1f} tokens/s"
    yield (
        f"  {guess.batch:,} requests with answers of {speed.ANSWER} tokens: "
        f"{guess.batch:,} x {speed.ANSWER} / ({guess.batch:,} prompts + {speed.ANSWER} steps) "
        f"= {guess.batch_tokens_per_second:,.1f} tokens/s"
    )


def _step_lines(request: Request, gpu: Gpu, found: Budget, batch: int) -> Iterator[str]:
    step = speed.step(found, gpu, request.shape, batch)
    yield (
        f"  a step of {batch:,}: max(read {step.read_bytes / GIB:,.3f} GiB / "
        f"({gpu.bandwidth / 1e9:g} GB/s x {speed.BANDWIDTH_SHARE:g}) = {_ms(step.reading)}, "
        f"arithmetic {_ms(step.computing)}) + all-reduces {_ms(step.exchange)}"
        + (
            f", x {step.stages} stages + {step.stages - 1} x {_ms(speed.NEXT_STAGE)}"
            if step.stages > 1
            else ""
        )
        + f" = {_ms(step.seconds)}"
    )


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.2f} ms"


def _explain_cpu(request: Request) -> str:
    found = plan(request)
    return "\n".join(
        (
            f"{request.model_name or 'model'}: {found.reason}",
            _line("weights of one rank", found.per_gpu.weights_bytes, ""),
            _line("KV cache of one rank", found.kv_cache_bytes, "--kv-cache-memory-bytes"),
            _line("memory of the pod", found.host.memory_bytes, "processes, weights and cache"),
        )
    )
