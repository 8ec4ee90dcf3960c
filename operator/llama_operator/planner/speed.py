"""Rough speed of a layout: a roofline, good for choosing between layouts, not for promises.

    one token of a batch  = (weights + cache read) / bandwidth, or its arithmetic, + all-reduces
    a prompt              = 2 x parameters x tokens / operations per second
    requests together     = their prompts one after another, then their answers side by side

The two shares of peak and the all-reduce were taken from Llama 3.1 8B on one and two H100s with
vLLM 0.24, and give the six figures measured there with up to 256 requests within 6 %. With 1,024,
more than the cache held, a fifth less was measured than a roofline says, so 256 are estimated
unless more were asked for.
"""

from __future__ import annotations

from typing import NamedTuple

from llama_operator.catalog.shape import Shape
from llama_operator.planner.budget import Budget, Rank
from llama_operator.planner.gpus import Gpu
from llama_operator.planner.layout import Layout

BANDWIDTH_SHARE = 0.685
FLOPS_SHARE = 0.7
_ALL_REDUCE_NVLINK = 20e-6
_ALL_REDUCE_PCIE = 60e-6
NEXT_STAGE = 100e-6
PROMPT, ANSWER = 512, 128
MOST_REQUESTS = 256


class Speed(NamedTuple):
    """Estimates: tokens/s of one request alone, of `batch` together, and the first token.

    Requests have prompts of 512 tokens and answers of 128; `batch_tokens_per_second` counts the
    answers only, `first_token_seconds` is that of an idle server. All are 0 where the GPU's
    bandwidth is not known.
    """

    tokens_per_second: float
    batch: int
    batch_tokens_per_second: float
    first_token_seconds: float


class Step(NamedTuple):
    """One decoding step on one stage: bytes read by a rank, and seconds.

    `busy` is the longer of reading and computing, and the exchange; all are means over stages.
    """

    read_bytes: float
    reading: float
    computing: float
    exchange: float
    busy: float
    stages: int

    @property
    def seconds(self) -> float:
        """Seconds through all stages."""
        return self.busy * self.stages + (self.stages - 1) * NEXT_STAGE


def estimate(found: Budget, gpu: Gpu, shape: Shape, batch: int = 0) -> Speed:
    """The speed of a layout on a GPU, for `batch` requests.

    0 stands for as many as its cache holds, 256 at most.
    """
    if not gpu.bandwidth or not gpu.flops_16:
        return Speed(0.0, 0, 0.0, 0.0)
    held = min(found.settings.max_num_seqs, found.kv_tokens // (PROMPT + ANSWER))
    batch = batch or max(1, min(held, MOST_REQUESTS))
    one = step(found, gpu, shape, 1).seconds
    many = step(found, gpu, shape, batch).seconds
    prompt = prompt_seconds(found, gpu, shape)
    together = batch * ANSWER / (batch * prompt + ANSWER * many)
    return Speed(1 / one, batch, together, prompt + one)


def active_params(shape: Shape) -> int:
    """Parameters that one token passes through: of a mixture one routed and one shared expert."""
    hidden, layers = shape.hidden_size, shape.num_layers
    attention = 2 * hidden * shape.head_dim * (shape.num_attention_heads + shape.num_kv_heads)
    dense = shape.dense_intermediate_size or shape.intermediate_size
    experts = 2 * shape.intermediate_size * shape.moe_layers
    widths = experts + dense * (layers - shape.moe_layers)
    return layers * attention + 3 * hidden * widths + hidden * shape.vocab_size


def _read_bytes(rank: Rank, shape: Shape, layout: Layout, batch: int) -> float:
    """Bytes of weights that a step reads on a rank: no embedding, of experts only those hit."""
    looked_up = 2 * shape.padded_vocab * shape.hidden_size // layout.tensor_parallel
    whole = rank.weights - (looked_up if rank.stage.first and not shape.tied_embeddings else 0)
    if not shape.num_experts:
        return whole
    routed = 3 * shape.hidden_size * shape.intermediate_size * shape.moe_layers * shape.num_experts
    share = routed / (routed + active_params(shape))
    hit = 1 - (1 - 1 / shape.num_experts) ** batch
    return whole * (1 - share + share * hit)


def step(found: Budget, gpu: Gpu, shape: Shape, batch: int) -> Step:
    """One decoding step of `batch` requests, each in the middle of its answer."""
    context, layout = PROMPT + ANSWER // 2, found.layout
    computing = 2 * active_params(shape) * batch / layout.gpus / (gpu.flops_16 * FLOPS_SHARE)
    reads = readings = exchanges = busy = 0.0
    for rank in found.ranks:
        cache = batch * context * rank.kv_per_token
        read = _read_bytes(rank, shape, layout, batch) + cache
        reading = read / gpu.bandwidth / BANDWIDTH_SHARE
        exchange = _exchange(layout, gpu, rank.stage.layers, batch * shape.hidden_size)
        busy += max(reading, computing) + exchange
        reads, readings, exchanges = reads + read, readings + reading, exchanges + exchange
    kinds = len(found.ranks)
    return Step(
        reads / kinds, readings / kinds, computing, exchanges / kinds, busy / kinds,
        layout.pipeline_parallel,
    )  # fmt: skip


def _exchange(layout: Layout, gpu: Gpu, layers: int, numbers: int) -> float:
    """Seconds of the all-reduces of so many layers over so many 16-bit numbers each."""
    size = layout.tensor_parallel
    if size == 1:
        return 0.0
    fast = size <= gpu.link_domain
    latency = _ALL_REDUCE_NVLINK if fast else _ALL_REDUCE_PCIE
    # A ring moves 2(n-1)/n of the data over each link.
    moved = 2 * numbers * 2 * (size - 1) / size
    return 2 * layers * (latency + moved / (gpu.link if fast else min(gpu.link, 32e9)))


def prompt_seconds(found: Budget, gpu: Gpu, shape: Shape) -> float:
    """Seconds of a prompt of 512 tokens on an idle server."""
    layout = found.layout
    rate = layout.tensor_parallel * gpu.flops_16 * FLOPS_SHARE
    exchange = _exchange(layout, gpu, shape.num_layers, PROMPT * shape.hidden_size)
    return 2 * active_params(shape) * PROMPT / rate + exchange
