"""Labels of the spec come to servers that run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.builders import deployment
from tests.support.memory import Memory
from tests.unit.reconcile.test_status import of_this_template, running, snapshot

from llama_operator.api import labels
from llama_operator.reconcile.actions import Label
from llama_operator.reconcile.apply import Applier
from llama_operator.reconcile.caches import slim_pod
from llama_operator.reconcile.decide import decide
from llama_operator.reconcile.snapshot import DeploymentView

Object = dict[str, Any]
MESH = {"mesh.example.com/rev": "1"}


def seen(first: Object, now: Object, **pod: Any) -> DeploymentView:
    """Servers that were made with labels `first`, and a spec that has those of `now`."""
    made = running(deployment(podMetadata={"labels": first}))
    raw = deployment(podMetadata={"labels": now})
    meta = {"name": "web-1", "namespace": "default", "uid": "p", "labels": {**first, **MESH}}
    server = of_this_template(made, {"kind": "Pod", "metadata": meta, "status": {}})
    server["metadata"] |= pod
    return snapshot(raw, made, pods=(server,))


def asked(view: DeploymentView) -> list[Label]:
    return [each for each in decide(view).actions if isinstance(each, Label)]


def after(view: DeploymentView) -> Object:
    """The pod once it was given what is asked for, as the cache keeps it."""
    memory, pod = Memory(), view.pods[0]
    memory.put(pod)
    asyncio.run(Applier(memory, view.owner).run(asked(view)))  # type: ignore[arg-type]
    return dict(slim_pod(memory.objects["Pod", "web-1"])["metadata"])


@pytest.mark.parametrize(
    ("first", "now"),
    [
        ({}, {"team": "a"}),
        ({"team": "a"}, {"team": "b"}),
        ({"team": "a", "cost": "1"}, {"cost": "1"}),
        ({"team": "a"}, {}),
        ({"team": "a"}, {"cost": "2", "tier": "x"}),
    ],
)
def test_pods_get_the_labels_of_the_spec_and_keep_those_of_others(
    first: Object, now: Object
) -> None:
    meta = after(seen(first, now))
    assert meta["labels"] == {**now, **MESH}
    told = {labels.LABELLED: meta["annotations"][labels.LABELLED]}
    once_more = seen(first, now, labels=meta["labels"])
    once_more.pods[0]["metadata"]["annotations"] |= told
    assert asked(once_more) == []


def test_one_that_came_later_goes_too() -> None:
    view = seen({}, {}, labels={"late": "1", **MESH})
    view.pods[0]["metadata"]["annotations"][labels.LABELLED] = "late"
    assert after(view)["labels"] == MESH


def test_servers_that_have_them_are_left_alone() -> None:
    assert asked(seen({"team": "a"}, {"team": "a"})) == []
    assert asked(seen({}, {})) == []


def test_no_other_pod_is_touched() -> None:
    old = {"annotations": {labels.INTENT_HASH: "of-another-template"}}
    assert asked(seen({}, {"team": "a"}, **old)) == []
    assert asked(seen({}, {"team": "a"}, deletionTimestamp="2026-01-01T00:00:00Z")) == []


def test_a_change_of_labels_changes_no_template() -> None:
    view = seen({"team": "a"}, {"team": "b"})
    changed = [each for each in decide(view).actions if not isinstance(each, Label)]
    assert changed == []
