"""How vLLM shares a card's memory out, per engine generation, in exact bytes.

    KV cache = utilisation x total - weights - peak activation - other than torch

The figures are those of a cold start: with a warm compile cache up to 0.23 GiB more is left,
and a pod that was accepted only because of that would be refused after its cache is lost.
vLLM's own check is not enough: CUDA graphs, the context, NCCL and the workspace of the first
full batch lie outside its budget, so the total of the card is checked as well. 70B on two H100s
at utilisation 0.95 passes the one and dies at the first burst by the other.

Formulas were fitted to runs of vLLM 0.24.0 on H100s (V2), and to published logs of 0.8 to 0.11
(V1) and of 0.5 to 0.7 (V0). T, S, h, I, V: batched tokens, sequences, hidden size, feed-forward
size, vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

from llama_operator.catalog.shape import Shape
from llama_operator.planner.versions import Engine
from llama_operator.planner.weights import MIB, Stage

GIB = 1 << 30
BLOCK = 16
# Bytes per sequence and word of the vocabulary in the profile run's sampler, in tenths.
_V1_SAMPLER_TENTHS = 389
_V0_SAMPLER_TENTHS = 100
_V1_OTHER = {1: int(0.13 * GIB), 2: int(0.55 * GIB)}
_V2_OTHER = {1: 241_172_480, 2: 580_911_104}
_OTHER_MANY = int(1.3 * GIB)
_V2_OTHER_PIPELINE = 69_206_016
_V0_OTHER = int(0.35 * GIB)
# Small tensors that were seen besides the terms of V2, at most; more where a graph is compiled.
_SMALL, _SMALL_COMPILED = 16_896, 57_856
# Outside the budget: the CUDA context alone, with NCCL for tensor or for pipeline ranks.
_CONTEXT = 552_402_944
_OUTSIDE_TENSOR = 1_624_137_728
_OUTSIDE_PIPELINE = 1_536_057_344


class Load(NamedTuple):
    """What is asked of a rank: sizes of a batch, the cut, and whether graphs are captured.

    `warm` is a start with a compile cache, which no plan counts on.
    """

    @property
    def compiles(self) -> bool:
        """Whether torch.compile runs."""
        return not (self.eager or self.warm)

    max_num_seqs: int
    max_num_batched_tokens: int
    tensor_parallel: int
    pipeline_parallel: int
    eager: bool = False
    warm: bool = False


def peak_activation(shape: Shape, engine: Engine, load: Load, stage: Stage) -> int:
    """Bytes that torch holds at most during vLLM's profile run, over weights."""
    if engine.runner == "V2":
        return max(_v2_terms(shape, load, stage))
    tokens, width = load.max_num_batched_tokens, _width(shape) // load.tensor_parallel
    hidden = 3 if engine.runner == "V0" else 5
    forward = 2 * tokens * (3 * width + hidden * shape.hidden_size)
    each = _V0_SAMPLER_TENTHS if engine.runner == "V0" else _V1_SAMPLER_TENTHS
    sampler = load.max_num_seqs * shape.vocab_size * each // 10
    return max(forward, sampler if stage.last else 0)


def _v2_terms(shape: Shape, load: Load, stage: Stage) -> list[int]:
    terms = [forward_peak(shape, load)]
    if stage.last:
        terms.append(sampler_peak(shape, load))
    if stage.first and load.compiles:
        terms.append(_compile_peak(shape, load))
    return terms


def forward_peak(shape: Shape, load: Load, cold: bool = True) -> int:
    """V2: one layer's forward, 2T(3I/tp + (2 + 1/tp)h) + 32 MiB; eager 2T(3I/tp + 3h) + 32 MiB.

    Compiling costs 50 MiB more where nothing is cached.
    """
    tokens, size, hidden = load.max_num_batched_tokens, load.tensor_parallel, shape.hidden_size
    kept = 3 * hidden if load.eager else 2 * hidden + hidden // size
    compiling = 50 * MIB if cold and load.compiles else 0
    return 2 * tokens * (3 * _width(shape) // size + kept) + 32 * MIB + compiling + _SMALL


def sampler_peak(shape: Shape, load: Load) -> int:
    """V2: the profile run's sampling, 6SV + 2Th + 2Sh + 34.5 MiB, whole on every tensor rank."""
    seqs, hidden = load.max_num_seqs, shape.hidden_size
    batch = 2 * (load.max_num_batched_tokens + seqs) * hidden
    return 6 * seqs * shape.vocab_size + batch + 32 * MIB + 2_642_432


def _compile_peak(shape: Shape, load: Load) -> int:
    # The size of a copy of the embedding, inferred from runs; not traced to its cause.
    table = 2 * shape.vocab_size * shape.hidden_size // load.tensor_parallel
    step = load.max_num_batched_tokens * shape.hidden_size
    rest = 4 * step if load.tensor_parallel == 1 else 2 * step + 50 * MIB
    return table + rest + _SMALL_COMPILED


def _width(shape: Shape) -> int:
    # Llama 4 runs a routed and a shared expert side by side.
    routed = 2 * shape.intermediate_size if shape.num_experts else shape.intermediate_size
    return max(routed, shape.dense_intermediate_size)


def other_bytes(engine: Engine, load: Load) -> int:
    """Bytes in the budget that torch does not hold: NCCL's buffers, kernels, cuBLAS.

    Four and more tensor ranks are not measured with V2; 1.3 GiB is what 0.8 to 0.11 took.
    """
    size = load.tensor_parallel
    if engine.runner == "V0" and size == 1:
        return _V0_OTHER
    if engine.runner == "V2" and size == 1 and load.pipeline_parallel > 1:
        return _V2_OTHER_PIPELINE
    table = _V2_OTHER if engine.runner == "V2" else _V1_OTHER
    return table.get(size, _OTHER_MANY)


def outside_bytes(engine: Engine, load: Load) -> int:
    """Bytes that are taken before vLLM begins to count: CUDA's context and NCCL.

    Before 0.24 NCCL is among the other bytes of its budget.
    """
    if engine.runner != "V2":
        return _CONTEXT
    total = _OUTSIDE_TENSOR if load.tensor_parallel > 1 else _CONTEXT
    return total + (_OUTSIDE_PIPELINE - _CONTEXT if load.pipeline_parallel > 1 else 0)


def graph_bytes(shape: Shape, load: Load, stage: Stage) -> int:
    """Bytes of captured CUDA graphs: an upper bound of the measured runs (0 to 25 % above).

    9 MiB a layer for the graphs themselves, and each captured batch's outputs; sizes go by 8
    up to 256 and by 16 up to 512 or twice max_num_seqs.
    """
    if load.eager:
        return 0
    top = min(2 * load.max_num_seqs, 512)
    captured = sum((1, 2, 4, *range(8, min(top, 256) + 1, 8), *range(272, top + 1, 16)))
    per_token = 2 * (2 * _width(shape) // load.tensor_parallel + 3 * shape.hidden_size)
    return captured * per_token + (9 * stage.layers + 20) * MIB


def persistent_bytes(shape: Shape, engine: Engine, load: Load, stage: Stage) -> int:
    """V2: buffers made before profiling that its budget does not count.

    4.25SV of penalties and masks on the last stage, hidden states between stages.
    """
    if engine.runner != "V2":
        return 0
    total = 20 * MIB if stage.last else MIB
    if stage.last:
        total += 17 * load.max_num_seqs * shape.vocab_size // 4
    if not stage.first:
        total += 4 * load.max_num_batched_tokens * shape.hidden_size
    return total + (8 * MIB if load.tensor_parallel > 1 else 0)


def workspace_bytes(shape: Shape, engine: Engine, load: Load, stage: Stage) -> int:
    """Bytes that torch takes for warm-up and the first full batch, over weights and cache.

    V2: a forward and a sampling pass side by side, and the gathered logits where the vocabulary
    is cut; an upper bound of the measured runs (2 to 46 % above). Not known before 0.24: 0.
    """
    if engine.runner != "V2":
        return 0
    total = forward_peak(shape, load, cold=False)
    if stage.last:
        total += sampler_peak(shape, load)
        total += 4 * load.max_num_seqs * shape.vocab_size if load.tensor_parallel > 1 else 0
    return total
