"""A pass that has carried out all it decided needs no other one until something else changes.

The echo of our own writes brings about no pass (`Informer.own`), which is right only as long as
the next pass would find nothing to do, the same status, and the same time to look again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from tests import strategies
from tests.property.test_decide import worlds
from tests.support.simulation import STAMP, Simulation

from llama_operator.reconcile import decide, status
from llama_operator.reconcile.actions import Action, Apply, CreateKey
from llama_operator.reconcile.reconciler import Outcome, carried_out, with_made

Object = dict[str, Any]
ROUNDS = 6


@dataclass
class Pass:
    """What one pass over the deployment came to."""

    actions: list[Action]
    outcome: Outcome
    status: Object
    again: float | None

    @property
    def silent(self) -> bool:
        """Whether all of it was writes of children, whose echo tells nobody."""
        ours = all(isinstance(each, Apply | CreateKey) for each in self.actions)
        return ours and self.outcome == Outcome()


def passed(simulation: Simulation) -> Pass:
    """One pass, as the reconciler makes it."""
    view = simulation.deployment()
    decision = decide.decide(view)
    memory: Any = simulation.memory
    outcome = asyncio.run(carried_out(memory, view.owner, decision.actions))
    wanted = status.build(with_made(view, outcome.made), decision, outcome.failure, STAMP)
    raw = simulation.memory.objects[("LlamaDeployment", simulation.name)]
    simulation.memory.put({**raw, "status": wanted})
    return Pass(decision.actions, outcome, wanted, decision.requeue_after)


@settings(worlds, max_examples=150)
@given(strategies.aged())
def test_writes_of_our_own_call_for_no_other_pass(simulation: Simulation) -> None:
    for _ in range(ROUNDS):
        first = passed(simulation)
        if first.silent:
            second = passed(simulation)
            assert second.actions == []
            assert (second.status, second.again) == (first.status, first.again)
        simulation.fetch()
        simulation.play()
