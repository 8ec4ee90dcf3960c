"""The memory of one layout with given settings: rank by rank, and what the whole of it holds."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from llama_operator.catalog.shape import Shape, kv_bytes_per_token
from llama_operator.planner import lora as adapters
from llama_operator.planner import memory
from llama_operator.planner.layout import Layout, stage_layers
from llama_operator.planner.lora import Lora
from llama_operator.planner.memory import BLOCK, Load
from llama_operator.planner.versions import Engine
from llama_operator.planner.weights import MIB, Precision, Stage, rank_weights


class Subject(NamedTuple):
    """What is placed, and on what: everything about memory that no setting changes."""

    shape: Shape
    weights_bytes: int
    precision: Precision
    engine: Engine
    card_bytes: int
    lora: Lora | None = None


class Settings(NamedTuple):
    """Flags that share the card out."""

    max_num_seqs: int
    max_num_batched_tokens: int
    utilization: float
    eager: bool = False
    warm: bool = False


class Rank(NamedTuple):
    """One rank's memory in bytes.

    `weights` hold the buffers for adapters as well, as vLLM's log counts them;
    `kv_room` is what vLLM's budget leaves for the KV cache, `loading` what weights take until
    they are quantised, where that is more than they take after. `graphs_apart` is what CUDA
    graphs take besides a batch.
    """

    stage: Stage
    weights: int
    activation: int
    graphs: int
    other: int
    outside: int
    persistent: int
    workspace: int
    kv_per_token: int
    kv_room: int
    loading: int
    graphs_apart: int

    @property
    def fixed(self) -> int:
        """Bytes on the card besides the KV cache when it works at its hardest."""
        # Each layer's cache is its own tensor, rounded up to 2 MiB.
        rounding = 2 * self.stage.layers * MIB
        held = self.weights + self.other + self.outside + self.persistent
        return held + self.working + rounding

    @property
    def working(self) -> int:
        """Bytes of a full batch and of CUDA graphs."""
        return max(self.workspace, self.activation) + self.graphs_apart


class Budget(NamedTuple):
    """A layout's memory under given settings."""

    layout: Layout
    settings: Settings
    ranks: tuple[Rank, ...]
    card_bytes: int

    @property
    def kv_tokens(self) -> int:
        """Tokens that vLLM will print as "GPU KV cache size"; 0 where nothing is left."""
        return (
            max(0, min(each.kv_room // (BLOCK * each.kv_per_token) for each in self.ranks)) * BLOCK
        )

    @property
    def tightest(self) -> Rank:
        """The rank that limits the KV cache."""
        return min(self.ranks, key=lambda each: each.kv_room // each.kv_per_token)

    @property
    def card_room(self) -> int:
        """Bytes that the fullest card has left at its hardest; negative: it runs out of memory."""
        tokens = self.kv_tokens
        return min(self.card_bytes - each.fixed - tokens * each.kv_per_token for each in self.ranks)

    @property
    def holds(self) -> bool:
        """Whether the card holds everything, not only what vLLM counts.

        That its share is free at the start, which vLLM checks first, follows from it.
        """
        return self.loads and self.card_room >= 0

    @property
    def loads(self) -> bool:
        """Whether the weights fit while they are loaded, before FP8 is made of them."""
        return all(self.card_bytes - each.outside >= each.loading for each in self.ranks)

    @property
    def most_tokens(self) -> int:
        """KV tokens that no setting can exceed: all of the card but weights and NCCL."""
        rooms = (
            (self.card_bytes - each.weights - each.other - each.outside) // each.kv_per_token
            for each in self.ranks
        )
        return max(0, min(rooms))


def requested_bytes(card_bytes: int, utilization: float) -> int:
    """Bytes that vLLM takes for itself: ceil(total x utilisation)."""
    exact = card_bytes * utilization
    return int(exact) + (exact != int(exact))


class Share(NamedTuple):
    """What a rank holds whatever the flags: measured once for a layout, used for all tries."""

    stage: Stage
    weights: int
    other: int
    outside: int
    kv_per_token: int
    loading: int


class Placed:
    """A subject cut by a layout; `budget` tells its memory under given settings."""

    def __init__(self, subject: Subject, layout: Layout) -> None:
        self.subject = subject
        self.layout = layout
        stages = stages_of(subject.shape.num_layers, layout.pipeline_parallel)
        self._shares = tuple(_share(subject, layout, stage) for stage in stages)

    def budget(self, settings: Settings) -> Budget:
        """The memory of every kind of rank."""
        load = Load(
            settings.max_num_seqs,
            settings.max_num_batched_tokens,
            self.layout.tensor_parallel,
            self.layout.pipeline_parallel,
            settings.eager,
            settings.warm,
        )
        requested = requested_bytes(self.subject.card_bytes, settings.utilization)
        ranks = tuple(_rank(self.subject, load, share, requested) for share in self._shares)
        return Budget(self.layout, settings, ranks, self.subject.card_bytes)


def budget(subject: Subject, layout: Layout, settings: Settings) -> Budget:
    """The memory of one layout under one set of flags."""
    return Placed(subject, layout).budget(settings)


@lru_cache(maxsize=256)
def stages_of(layers: int, stages: int) -> tuple[Stage, ...]:
    """The stages that differ in memory: the first, the last, and the fullest between."""
    split = stage_layers(layers, stages)
    if stages == 1:
        return (Stage(layers),)
    middle = split[1:-1]
    found = [Stage(split[0], True, False), Stage(split[-1], False, True)]
    if middle:
        found.append(Stage(max(middle), False, False))
    return tuple(found)


def _share(subject: Subject, layout: Layout, stage: Stage) -> Share:
    size, engine = layout.tensor_parallel, subject.engine
    load = Load(1, 1, size, layout.pipeline_parallel)
    precision = subject.precision
    whole = precision if engine.streams_online_fp8 else precision._replace(online="")

    def weights(held: Precision) -> int:
        return rank_weights(subject.shape, subject.weights_bytes, held, size, stage)

    buffers = adapters.buffer_bytes(subject.shape, subject.lora, precision.bytes, size, stage)
    return Share(
        stage=stage,
        weights=weights(precision) + buffers,
        loading=weights(whole),
        other=memory.other_bytes(engine, load),
        outside=memory.outside_bytes(engine, load),
        kv_per_token=kv_bytes_per_token(subject.shape, size, stage.layers, precision.kv_bytes),
    )


def _rank(subject: Subject, load: Load, share: Share, requested: int) -> Rank:
    shape, engine, stage = subject.shape, subject.engine, share.stage
    activation = memory.peak_activation(shape, engine, load, stage)
    # Captured once with adapters and once without (cudagraph_specialize_lora).
    graphs = memory.graph_bytes(shape, load, stage) * (2 if subject.lora else 1)
    workspace = memory.workspace_bytes(shape, engine, load, stage)
    # Before 0.21 the peak that is kept free for the sampler is far above what a batch takes, so
    # graphs find their place in it.
    apart = workspace or engine.graphs_in_budget
    counted = share.weights + activation + share.other
    counted += graphs if engine.graphs_in_budget else 0
    return Rank(
        stage=stage,
        weights=share.weights,
        activation=activation,
        graphs=graphs,
        other=share.other,
        outside=share.outside,
        persistent=memory.persistent_bytes(shape, engine, load, stage),
        workspace=workspace,
        kv_per_token=share.kv_per_token,
        kv_room=requested - counted,
        loading=share.loading,
        graphs_apart=graphs if apart else max(0, graphs - activation),
    )
