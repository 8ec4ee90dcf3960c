"""What a look at a LlamaWeights has found, and what is to be done: filled step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from llama_operator.api.conditions import Condition, Status
from llama_operator.reconcile.actions import Action
from llama_operator.reconcile.snapshot import Object


@dataclass
class WeightsDecision:
    """What to do, and what was found on the way (facts for the status)."""

    actions: list[Action] = field(default_factory=list)
    # Conditions that are known now, by type; the rest follow from the facts.
    conditions: dict[str, Condition] = field(default_factory=dict)
    facts: Object = field(default_factory=dict)
    requeue_after: float | None = None

    def say(self, kind: str, status: Status, reason: str, message: str) -> None:
        """Set one condition."""
        self.conditions[kind] = Condition(kind, status, reason, message)

    def again(self, seconds: float) -> None:
        """Ask to be called again; the soonest wish counts."""
        self.requeue_after = min(seconds, self.requeue_after or seconds)


def stamp(moment: datetime) -> str:
    """A moment as a status holds it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
