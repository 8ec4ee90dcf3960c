"""Revisions that are tried, at any moment: they come to rest, survive a crash, and touch no server."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests import strategies
from tests.property.test_decide import lasting, worlds
from tests.support.simulation import Simulation

from llama_operator.api.template import server_template
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import canary, revisions

Object = dict[str, Any]


def server(simulation: Simulation) -> Object | None:
    return simulation.memory.objects.get(("Deployment", simulation.name))


def shares(simulation: Simulation) -> list[tuple[str, int]]:
    route = simulation.memory.objects.get(("HTTPRoute", simulation.name))
    if route is None:
        return []
    return [(each["name"], each["weight"]) for each in route["spec"]["rules"][0]["backendRefs"]]


@worlds
@given(strategies.tried())
def test_what_is_tried_comes_to_rest(simulation: Simulation) -> None:
    simulation.settle()
    before = simulation.memory.writes
    simulation.serve()
    assert simulation.asked == []
    assert simulation.memory.writes == before


@worlds
@given(strategies.tried(), st.integers(0, 6))
def test_a_crash_after_any_action_ends_in_the_same_world(simulation: Simulation, cut: int) -> None:
    twin = copy.deepcopy(simulation)
    twin.settle()
    simulation.serve(crash_after=cut)
    simulation.play()
    simulation.settle()
    assert lasting(simulation) == lasting(twin)


@worlds
@given(strategies.tried())
def test_servers_are_of_another_revision_only_where_none_is_tried(simulation: Simulation) -> None:
    """And a route leads to a canary only while it answers, with its Service and what makes it."""
    for _ in range(6):
        before, view = stamp(server_template(server(simulation))), simulation.deployment()
        name = revisions.name_of(view)
        tried = canary.stays_at(view, view.server, name)
        simulation.serve()
        simulation.play()
        after = stamp(server_template(server(simulation)))
        if tried and before and after != before:
            assert after == revisions.stamp_of(view.children[revisions.KIND, tried])
        if len(shares(simulation)) > 1 and not view.spec.paused:
            assert simulation.canary == "answers"
            for kind in ("Service", "Deployment"):
                assert (kind, "web-canary") in simulation.memory.objects
