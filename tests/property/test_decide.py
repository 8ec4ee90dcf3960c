"""Whatever a snapshot shows, decisions come to rest, survive a crash anywhere, and touch nobody else's."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import strategies
from tests.support.builders import NOW
from tests.support.memory import Memory
from tests.support.simulation import STAMP, Simulation

from llama_operator.api.template import server_template
from llama_operator.api.v1alpha1 import LlamaDeploymentStatus, LlamaWeightsStatus
from llama_operator.reconcile import decide, decide_weights, sets, status, status_weights
from llama_operator.reconcile.actions import Apply, CreateKey, Delete
from llama_operator.reconcile.ownership import owned
from llama_operator.reconcile.snapshot import DeploymentView, WeightsView

Object = dict[str, Any]
LATER = "2031-05-05T05:05:05Z"
worlds = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def strangers(memory: Memory) -> dict[tuple[str, str], Object]:
    return {
        key: copy.deepcopy(obj)
        for key, obj in memory.objects.items()
        if not obj["metadata"].get("ownerReferences") and key[0] not in ("LlamaDeployment", "LlamaWeights")
    }  # fmt: skip


def refused(simulation: Simulation) -> list[Apply]:
    """Wishes that a stranger's object stands in the way of: they are asked again, and refused."""
    names = {(kind, name) for kind, name in strangers(simulation.memory)}
    return [
        action
        for action in simulation.asked
        if isinstance(action, Apply) and (action.obj["kind"], action.obj["metadata"]["name"]) in names
    ]  # fmt: skip


@worlds
@given(strategies.aged())
def test_decisions_come_to_rest(simulation: Simulation) -> None:
    simulation.settle()
    before = simulation.memory.writes
    simulation.serve()
    assert simulation.asked == [] or refused(simulation)
    simulation.fetch()
    assert simulation.memory.writes == before


@worlds
@given(strategies.aged())
def test_a_strangers_object_is_never_written_to(simulation: Simulation) -> None:
    before = strangers(simulation.memory)
    simulation.settle()
    assert simulation.memory.trespasses == []
    assert {key: simulation.memory.objects.get(key) for key in before} == before


@worlds
@given(strategies.aged(), st.integers(0, 4), st.integers(0, 4))
def test_a_crash_after_any_action_ends_in_the_same_world(
    simulation: Simulation, serving: int, fetching: int
) -> None:
    twin = copy.deepcopy(simulation)
    twin.settle()
    simulation.serve(crash_after=serving)
    simulation.fetch(crash_after=fetching)
    simulation.play()
    simulation.settle()
    assert lasting(simulation) == lasting(twin)


def lasting(simulation: Simulation) -> dict[str, object]:
    """All objects without `lastGood`, and without adapters where the volume of the copy was lost.

    Those are memories: whether a server was seen, to answer or to have a node, before its volume was
    lost is a matter of when somebody looked.
    """
    picture: dict[str, Any] = copy.deepcopy(simulation.memory.picture())
    for obj in picture.values():
        obj.get("status", {}).get("revision", {}).pop("lastGood", None)
    if any(map(_is_lost, picture.values())):
        picture = {key: obj for key, obj in picture.items() if "-adapter" not in key}
        told = picture[f"LlamaDeployment/{simulation.name}"]["status"]
        told.pop("adapters", None)
        told["conditions"] = [each for each in told["conditions"] if each["type"] != "Degraded"]
    return picture


def _is_lost(obj: Any) -> bool:
    conditions = (
        obj.get("status", {}).get("conditions", ()) if obj["kind"] == "LlamaWeights" else ()
    )
    return any(
        (each["type"], each["reason"]) == ("VolumeReady", "ClaimMissing") for each in conditions
    )


@worlds
@given(strategies.aged())
def test_only_what_is_owned_is_named_in_a_deletion_or_a_blind_write(simulation: Simulation) -> None:
    for view, actions in decisions(simulation):
        uid = view.raw["metadata"]["uid"]
        for action in actions:
            if isinstance(action, Delete) and action.uid != uid:
                assert owned(view.children[(action.kind, action.name)], uid)
            if isinstance(action, Apply):
                assert owned(action.obj, uid)
                key = (action.obj["kind"], action.obj["metadata"]["name"])
                assert not action.known or owned(view.children[key], uid)
            if isinstance(action, CreateKey):
                assert ("Secret", action.name) not in simulation.memory.objects


@worlds
@given(strategies.claiming())
def test_what_pods_claim_by_is_there_and_nothing_else_is(simulation: Simulation) -> None:
    simulation.settle()
    objects = simulation.memory.objects
    servers = [obj for (kind, _), obj in objects.items() if kind in sets.KINDS]
    ours = [server_template(obj) for obj in servers if ("LlamaDeployment", "web") in _owners(obj)]
    claims = [each for found in ours for each in found["spec"].get("resourceClaims", ())]
    named = {each["resourceClaimTemplateName"] for each in claims}
    assert ours
    assert {name for kind, name in objects if kind == "ResourceClaimTemplate"} == named


@worlds
@given(strategies.aged())
def test_a_pass_changes_nothing_of_what_caches_hold_or_what_is_remembered(
    simulation: Simulation,
) -> None:
    """Both are shared: with the next pass, and with those over other objects."""
    view = simulation.deployment()
    # As caches do, so that what a pass finds there is what the next one finds.
    held = copy.deepcopy((view.raw, dict(view.children), view.weights, view.pods))
    first = decide.decide(view)
    wanted = copy.deepcopy(first.desired)
    status.build(view, first, None, STAMP)
    assert (view.raw, dict(view.children), view.weights, view.pods) == held
    assert decide.decide(view).desired == first.desired == wanted


def _owners(obj: Object) -> list[tuple[str, str]]:
    return [(ref["kind"], ref["name"]) for ref in obj["metadata"].get("ownerReferences", ())]


def decisions(simulation: Simulation) -> list[tuple[DeploymentView | WeightsView, list[Any]]]:
    view = simulation.deployment()
    copies = [simulation.weights(name) for name in simulation.copies]
    return [
        (view, decide.decide(view).actions),
        *((found, decide_weights.decide(found).actions) for found in copies),
    ]


def built(simulation: Simulation, now: str) -> list[tuple[Object, Object]]:
    """Each object with the status that is due."""
    view = simulation.deployment()
    found = [(view.raw, status.build(view, decide.decide(view), None, now))]
    for name in simulation.copies:
        copied = simulation.weights(name)
        decision = decide_weights.decide(copied)
        found.append((copied.raw, status_weights.build(copied, decision, None, now)))
    return found


@worlds
@given(strategies.aged())
def test_a_status_built_again_is_the_same(simulation: Simulation) -> None:
    wanted = written(simulation)
    # One writes what the next one reads: a commit, then a plan. No more than that.
    for _ in range(4):
        wanted, before = written(simulation), wanted
        if wanted == before:
            break
    simulation.env = replace(simulation.env, now=NOW + timedelta(hours=1))
    assert [found for _, found in built(simulation, LATER)] == wanted


def written(simulation: Simulation) -> list[Object]:
    """Write the statuses that are due, and nothing else."""
    due = built(simulation, STAMP)
    for raw, found in due:
        simulation.memory.put({**raw, "status": found})
    return [found for _, found in due]


@worlds
@given(strategies.aged())
def test_the_schema_keeps_every_field_of_a_status(simulation: Simulation) -> None:
    """A field that the API server prunes would differ from the one wanted for ever."""
    for raw, wanted in built(simulation, STAMP):
        model = LlamaDeploymentStatus if raw["kind"] == "LlamaDeployment" else LlamaWeightsStatus
        read = model.model_validate(wanted).model_dump(
            by_alias=True, exclude_unset=True, mode="json"
        )
        assert without_empty(read) == without_empty(wanted)
        assert not nulls(wanted)


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: without_empty(found) for key, found in value.items() if found not in ("", None)
        }
    return [without_empty(found) for found in value] if isinstance(value, list) else value


def nulls(value: Any) -> bool:
    found = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(nulls(each) for each in found)


@worlds
@given(st.data(), strategies.deployments(), st.lists(strategies.pods(), min_size=1, max_size=3))
def test_nothing_in_a_status_moves_with_pods_that_only_age(
    data: st.DataObject, raw: Object, troubled: list[Object]
) -> None:
    simulation = Simulation(Memory([raw]))
    simulation.pods = troubled
    before = built(simulation, STAMP)
    simulation.pods = data.draw(strategies.shaken(troubled))
    assert built(simulation, STAMP) == before


@worlds
@given(strategies.aged())
def test_no_key_is_in_any_object_but_its_secret(simulation: Simulation) -> None:
    simulation.settle()
    keys = [
        obj["stringData"]["default"]
        for obj in simulation.memory.objects.values()
        if obj["kind"] == "Secret" and "stringData" in obj
    ]
    others = [obj for obj in simulation.memory.objects.values() if obj["kind"] != "Secret"]
    assert not [key for key in keys if key in json.dumps(others)]
