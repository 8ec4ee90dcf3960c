"""Chooses the flags of one layout: sequences, batched tokens, utilisation and context.

vLLM's defaults are tried first. Where they leave too little cache, what costs the user least is
lowered first: places for sequences that the cache could not hold anyway, then the batch, then
the share of the card is raised, by no more than it takes. Pins are never touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from llama_operator.planner.budget import Budget, Placed, Settings, Subject
from llama_operator.planner.gpus import GIB, MIB
from llama_operator.planner.layout import Layout
from llama_operator.planner.memory import BLOCK
from llama_operator.planner.request import Request
from llama_operator.planner.versions import Engine

# The shortest context that is worth serving where none was asked for.
LEAST_CONTEXT = 8192
# Sequences and batched tokens, in the order of what they cost.
_LOWER = ((256, 8192), (256, 4096), (128, 2048), (64, 2048), (32, 2048), (16, 2048))
# An automatic context keeps off the edge by more than the planner has ever been wrong.
_MARGIN = 0.02
_MOST_UTILIZATION = 0.97
# Kept free of the card by a utilisation that we choose: other cards than the measured ones vary.
_RESERVE = 128 * MIB


class Settled(NamedTuple):
    """A layout's chosen flags. `fits` tells whether they serve what was asked."""

    budget: Budget
    max_model_len: int
    needed: int
    fits: bool
    changes: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout:
        """The layout they are for."""
        return self.budget.layout


def settle(subject: Subject, request: Request, layout: Layout) -> Settled:
    """The least changed settings that hold what was asked; else the ones that hold most."""
    default = default_settings(request, subject.engine)
    needed = needed_tokens(request)
    placed = Placed(subject, layout)
    best = _within_card(placed, request, default)
    # A pinned share that the card does not bear is the mistake: a smaller batch is no cure for it.
    ladder = _ladder(placed, request, default) if _may_lower(request, best) else ()
    # Hopeless layouts are not worth the tries; near misses are, to tell what would fit.
    if best.most_tokens >= min(needed, LEAST_CONTEXT):
        for tried in chain((best,), ladder):
            if tried.holds and tried.kv_tokens >= needed:
                return _settled(request, _filled(placed, request, tried), default, needed)
            best = max(best, tried, key=_worth)
    return _settled(request, best, default, needed)._replace(fits=False)


def _may_lower(request: Request, default: Budget) -> bool:
    return default.holds or request.gpu_memory_utilization is None


def _filled(placed: Placed, request: Request, found: Budget) -> Budget:
    """For throughput a share of the card as large as it bears, for the most requests at once.

    A hundredth stays free: nothing was asked for that would be worth the last of it.
    """
    if request.objective != "throughput" or request.gpu_memory_utilization is not None:
        return found
    share = round(min(_MOST_UTILIZATION, allowed_utilization(found)) - 0.01, 2)
    if share <= found.settings.utilization:
        return found
    return placed.budget(found.settings._replace(utilization=share))


def _worth(found: Budget) -> tuple[bool, int]:
    return found.holds, found.kv_tokens


def needed_tokens(request: Request) -> int:
    """Tokens that the KV cache must hold for a layout to be accepted."""
    context = request.max_model_len or min(LEAST_CONTEXT, request.shape.max_position)
    return -(-context // BLOCK) * BLOCK * (request.concurrency or 1)


def default_settings(request: Request, engine: Engine) -> Settings:
    """vLLM's own defaults for the GPU, with pins."""
    seqs, tokens = _default_batch(request, engine)
    seqs = request.max_num_seqs or max(seqs, request.concurrency or 0)
    tokens = request.max_num_batched_tokens or max(tokens, seqs)
    if request.max_num_batched_tokens and not request.max_num_seqs:
        seqs = min(seqs, request.max_num_batched_tokens)
    share = request.gpu_memory_utilization or engine.utilization
    return Settings(seqs, tokens, share, request.enforce_eager)


def _default_batch(request: Request, engine: Engine) -> tuple[int, int]:
    # vllm/engine/arg_utils.py: 70 GiB and more, but for the A100, get the large batch, and
    # since 0.28 160 GiB and more a larger one.
    if engine.runner == "V0":
        return 256, _v0_tokens(request)
    gpu = request.gpu
    if gpu is None or gpu.memory_bytes < 70 * GIB or "A100" in gpu.product.upper():
        return 256, 2048
    return 1024, engine.largest_batch if gpu.memory_bytes >= 160 * GIB else 8192


def _v0_tokens(request: Request) -> int:
    # Before 0.8 a whole prompt was prefilled at once up to 32K, in chunks of 2,048 beyond.
    context = request.max_model_len or request.shape.max_position
    return context if context <= 32768 else 2048


def _ladder(placed: Placed, request: Request, default: Settings) -> Iterator[Budget]:
    lowered = list(_lowered(request, default))
    for settings in lowered:
        yield _within_card(placed, request, settings)
    if request.gpu_memory_utilization is None:
        needed = needed_tokens(request)
        for settings in (default, *lowered):
            yield _raised(placed, settings, needed)


def _lowered(request: Request, default: Settings) -> Iterator[Settings]:
    least = request.concurrency or 1
    for step, batch in _LOWER:
        seqs = request.max_num_seqs or max(least, min(step, default.max_num_seqs))
        # vLLM refuses a batch that is smaller than the number of sequences.
        tokens = request.max_num_batched_tokens or max(
            seqs, min(batch, default.max_num_batched_tokens)
        )
        lower = default._replace(max_num_seqs=seqs, max_num_batched_tokens=tokens)
        if lower != default:
            yield lower


def _within_card(placed: Placed, request: Request, settings: Settings) -> Budget:
    """The budget at these settings, with the utilisation lowered where the card needs it."""
    found = placed.budget(settings)
    if found.holds or request.gpu_memory_utilization is not None:
        return found
    allowed = allowed_utilization(found)
    if not 0 < allowed < settings.utilization:
        return found
    return placed.budget(settings._replace(utilization=allowed))


def _raised(placed: Placed, settings: Settings, needed: int) -> Budget:
    found = placed.budget(settings)
    allowed = min(_MOST_UTILIZATION, allowed_utilization(found))
    wanted = max(settings.utilization, _needed_utilization(found, needed))
    if allowed <= settings.utilization:
        return found
    return placed.budget(settings._replace(utilization=min(wanted, allowed)))


def _needed_utilization(found: Budget, tokens: int) -> float:
    """The smallest utilisation, in hundredths, whose cache holds so many tokens."""
    requested = found.card_bytes * found.settings.utilization
    shares = (
        (requested - each.kv_room + tokens * each.kv_per_token) / found.card_bytes
        for each in found.ranks
    )
    return math.ceil(max(shares) * 100) / 100


def allowed_utilization(found: Budget) -> float:
    """The largest utilisation, in hundredths, at which the card still holds everything."""
    card = found.card_bytes
    requested = card * found.settings.utilization
    # What vLLM subtracts from its share before the cache gets the rest.
    shares = [(card - each.fixed + requested - each.kv_room) / card for each in found.ranks]
    starts = [(card - each.outside) / card for each in found.ranks]
    return math.floor((min(shares + starts) - _RESERVE / card) * 100) / 100


def _settled(request: Request, found: Budget, default: Settings, needed: int) -> Settled:
    length = _context(request, found)
    changes = tuple(_changes(request, found, default, length))
    return Settled(found, length, needed, True, changes)


def _context(request: Request, found: Budget) -> int:
    longest = request.shape.max_position
    if request.max_model_len is not None:
        return request.max_model_len
    each = found.kv_tokens // (request.concurrency or 1)
    if each >= longest:
        return longest
    safe = int(each * (1 - _MARGIN))
    return max(BLOCK, safe // 1024 * 1024 or safe // BLOCK * BLOCK)


def _changes(request: Request, found: Budget, default: Settings, length: int) -> Iterator[str]:
    now = found.settings
    if request.max_model_len is None and length < request.shape.max_position:
        longest = request.shape.max_position
        yield f"context lowered from {longest:,} to {length:,} tokens, which is what fits"
    if now.max_num_seqs < default.max_num_seqs:
        yield f"max-num-seqs lowered from {default.max_num_seqs} to {now.max_num_seqs}"
    if now.max_num_batched_tokens < default.max_num_batched_tokens:
        before = default.max_num_batched_tokens
        yield f"max-num-batched-tokens lowered from {before} to {now.max_num_batched_tokens}"
    if now.utilization != default.utilization:
        way = "raised" if now.utilization > default.utilization else "lowered"
        yield f"gpu-memory-utilization {way} from {default.utilization:g} to {now.utilization:g}"
