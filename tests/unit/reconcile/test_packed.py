"""Children in the cache: few bytes, and all of them come back."""

from __future__ import annotations

import copy
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.builders import Object, deployment, deployment_view, ready_weights

from llama_operator import guard, sources
from llama_operator.api import labels
from llama_operator.reconcile import mounts, revisions
from llama_operator.reconcile.actions import Apply
from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.decide import decide
from llama_operator.reconcile.packed import LATEST, Packing, Squeezer, copies_of, unpacked
from llama_operator.reconcile.snapshot import SecretView


def children() -> list[Object]:
    raw = deployment()
    key = SecretView("web-api-key", True, frozenset({"default"}), frozenset({"uid-web"}))
    view = deployment_view(raw, weights=ready_weights(raw), key=key)
    return [action.obj for action in decide(view).actions if isinstance(action, Apply)]


def live(obj: Object) -> Object:
    meta = {**obj["metadata"], "uid": "u1", "resourceVersion": "7", "managedFields": [{"a": "b"}]}
    return {**copy.deepcopy(obj), "metadata": meta}


def packed_by(packing: Packing, obj: Object) -> Object:
    """As it is kept once so many others have come after it."""
    kept = packing(obj)
    for number in range(LATEST):
        packing({**obj, "metadata": {**obj["metadata"], "uid": f"other-{number}"}})
    return kept


@pytest.mark.parametrize("obj", children(), ids=lambda obj: obj["kind"])
def test_what_is_packed_comes_back_without_managed_fields(obj: Object) -> None:
    wanted = live(obj)
    del wanted["metadata"]["managedFields"]
    packed = packed_by(Packing(), live(obj))
    assert unpacked(packed) == wanted
    assert len(packed["whole"][0]) < len(json.dumps(wanted)) / 1.5


def test_the_second_of_a_kind_costs_little_whatever_its_template_holds() -> None:
    for kind in ("Deployment", revisions.KIND):
        first = next(obj for obj in children() if obj["kind"] == kind)
        packing = Packing()
        packed_by(packing, live(first))
        second = json.loads(re.sub(r'"web(?=[-"])', '"model-7', json.dumps(live(first))))
        del second["metadata"]["managedFields"]
        packed = packed_by(packing, copy.deepcopy(second))
        whole = unpacked(packed)
        assert whole == second
        template = whole["spec" if kind == "Deployment" else "data"]["template"]
        assert template["metadata"]["annotations"][labels.GUARD] == sources.carried(guard.FILE)
        # 17 KB as JSON; what the guard adds to it is told apart from the first one's.
        assert len(packed["whole"][0]) < 1100


def test_the_latest_of_a_kind_are_not_packed_and_what_they_have_replaced_never_is() -> None:
    obj = next(obj for obj in children() if obj["kind"] == "Deployment")
    packing = Packing()
    before, after = packing(live(obj)), packing(live(obj))
    assert unpacked(after) is after["whole"]
    packed_by(packing, {**live(obj), "metadata": {**live(obj)["metadata"], "uid": "u2"}})
    assert isinstance(after["whole"], tuple)
    assert unpacked(before) == unpacked(after)
    assert isinstance(before["whole"], dict)


def test_what_is_asked_of_every_object_stays_open() -> None:
    obj = next(obj for obj in children() if obj["kind"] == "Deployment")
    packed = Packing()(live(obj))
    meta = packed["metadata"]
    assert (packed["kind"], meta["uid"], meta["resourceVersion"]) == ("Deployment", "u1", "7")
    assert meta["ownerReferences"] == obj["metadata"]["ownerReferences"]
    assert copies_of(packed) == mounts.of_server(obj) != []


def test_an_object_that_is_not_packed_is_taken_as_it_is() -> None:
    obj = children()[-1]
    assert unpacked(obj) is obj
    assert copies_of(obj) == mounts.of_server(obj)


def test_the_caches_hand_out_whole_children_but_none_that_leaves() -> None:
    caches = Caches(SimpleNamespace(clock=None))  # type: ignore[arg-type]
    packing, squeeze = Packing(), Squeezer()
    for obj in children():
        kept = obj["kind"] == revisions.KIND
        shaped = revisions.slim(live(obj), squeeze) if kept else packing(live(obj))
        caches.children[obj["kind"]].store.put(shaped)
    found: dict[str, dict[str, Any]] = {obj["kind"]: obj for obj in caches.children_of("uid-web")}
    assert set(found) == {"Deployment", "Service", "NetworkPolicy", revisions.KIND}
    del found[revisions.KIND]  # stays packed until its content is asked for
    assert all("spec" in obj and "whole" not in obj for obj in found.values())
    leaving = live(next(obj for obj in children() if obj["kind"] == "Service"))
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    caches.children["Service"].store.put(packing(leaving))
    assert "Service" not in {obj["kind"] for obj in caches.children_of("uid-web")}
