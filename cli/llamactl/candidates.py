"""All layouts that come into question, on every GPU that was asked for, and the one to take.

For a named GPU the choice is the planner's own, so that `plan`, `deploy` and the operator agree
to the byte. Where several GPUs are compared, RULES says which of their choices wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llama_operator.api.errors import PlanRefused
from llama_operator.planner import candidates
from llamactl.asking import Asked

RULES = {
    "fit": "the fewest GPUs, then those with the least memory",
    "throughput": "the most tokens/s per GPU with all requests together, then the fewest GPUs, and "
    "the largest KV cache that they bear",
    "latency": "the most tokens/s for one request, then the fewest GPUs",
}


@dataclass(frozen=True, kw_only=True)
class Candidate(candidates.Candidate):
    """One layout on one GPU, and the nodes that have it where a cluster was read."""

    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Everything that was judged, and the choice; without one `refused` says why."""

    chosen: Candidate | None
    candidates: Sequence[Candidate]
    refused: PlanRefused | None = None


def answer(asked: Sequence[Asked]) -> Answer:
    """Judge one request per GPU. Never raises PlanRefused."""
    found: list[Candidate] = []
    chosen: list[Candidate] = []
    refused: list[PlanRefused] = []
    for each in asked:
        decision = candidates.decide(each.request)
        for one in decision.candidates:
            found.append(Candidate(**vars(one), nodes=each.nodes))
            chosen += found[-1:] if one is decision.chosen else []
        refused += [decision.refusal] if decision.refusal else []
    best = min(chosen, key=_rank, default=None)
    return Answer(best, _ordered(found), None if best else next(iter(refused), None))


def _rank(found: Candidate) -> tuple[float, int, int, str]:
    """Sorts what RULES prefers first; ties go to fewer, then smaller GPUs."""
    worth = 0.0
    if found.speed and found.request.objective == "throughput":
        worth = found.speed.batch_tokens_per_second / found.plan.gpus
    elif found.speed and found.request.objective == "latency":
        worth = found.speed.tokens_per_second
    return -worth, found.plan.gpus, found.memory_bytes, found.plan.gpu_product


def _ordered(found: Sequence[Candidate]) -> list[Candidate]:
    return sorted(
        found, key=lambda each: (each.memory_bytes, each.plan.gpu_product, each.plan.gpus)
    )
