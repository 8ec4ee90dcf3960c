"""What tests do with a simulation: let it come to rest, and edit its LlamaDeployment as a user does."""

from __future__ import annotations

from typing import Any

from tests.support.simulation import Simulation


def settle(simulation: Simulation) -> None:
    """Until nothing changes; the copy is there, and of no matter here."""
    for _ in range(12):
        before = simulation.memory.picture()
        simulation.serve()
        simulation.play()
        if simulation.memory.picture() == before:
            return
    raise AssertionError("the world does not come to rest")


def edit(simulation: Simulation, **spec: Any) -> None:
    """Other values for fields of its spec."""
    raw = simulation.memory.objects["LlamaDeployment", simulation.name]
    meta = {**raw["metadata"], "generation": raw["metadata"]["generation"] + 1}
    simulation.memory.put({**raw, "metadata": meta, "spec": {**raw["spec"], **spec}})
