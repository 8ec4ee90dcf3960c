from typing import Any

import pytest

from llama_operator.reconcile.actions import Apply, Delete
from llama_operator.reconcile.ownership import converge, covers, index, owned, prune
from llama_operator.render.meta import stamped

Object = dict[str, Any]


def child(kind: str = "Service", name: str = "a", **spec: Any) -> Object:
    meta = {"name": name, "namespace": "n", "uid": f"uid-{name}"}
    return stamped({"kind": kind, "metadata": meta, "spec": spec})


def test_only_the_controller_uid_makes_an_object_ours() -> None:
    references = [{"uid": "u", "controller": True}, {"uid": "v"}]
    obj = {"metadata": {"ownerReferences": references}}
    assert owned(obj, "u")
    assert not owned(obj, "v")
    assert not owned({"metadata": {}}, "u")


@pytest.mark.parametrize(
    ("live", "wanted", "same"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 2}, {"a": 1}, False),
        ({}, {"a": 1}, False),
        ({"cpu": "1"}, {"cpu": "1000m"}, True),
        ({"memory": "1Gi"}, {"memory": "1024Mi"}, True),
        ({"memory": "2Gi"}, {"memory": "1024Mi"}, False),
        ({"a": [1, 2]}, {"a": [1]}, False),
        (
            {"env": [{"name": "x", "value": "1"}, {"name": "y"}]},
            {"env": [{"name": "x", "value": "1"}]},
            True,
        ),
        ({"env": [{"name": "x", "value": "2"}]}, {"env": [{"name": "x", "value": "1"}]}, False),
        ({}, {"labels": {}, "list": [], "text": ""}, True),
        ({"flag": True}, {"flag": False}, False),
    ],
)
def test_covers(live: Object, wanted: Object, same: bool) -> None:
    assert covers(live, wanted) is same


def test_what_is_as_intended_is_not_sent() -> None:
    obj = child(port=1)
    assert converge([obj], index([obj])) == []


def test_a_changed_intent_and_an_edited_object_are_sent() -> None:
    cached = child(port=1)
    assert converge([child(port=2)], index([cached])) == [Apply(child(port=2), known=True)]
    edited = {**cached, "spec": {"port": 9}}
    assert converge([cached], index([edited])) == [Apply(cached, known=True)]


def test_what_others_add_is_left_alone() -> None:
    cached = child(port=1)
    grown = {**cached, "spec": {"port": 1, "clusterIP": "10.0.0.1"}, "status": {"x": 1}}
    assert converge([cached], index([grown])) == []


def test_a_job_is_never_updated() -> None:
    assert converge([child("Job", image="new")], index([child("Job", image="old")])) == []


def test_prune_deletes_by_uid_and_only_the_kinds_named() -> None:
    budget, service = child("PodDisruptionBudget"), child("Service")
    known = index([budget, service])
    assert prune([], known, ["PodDisruptionBudget"]) == [
        Delete("PodDisruptionBudget", "n", "a", "uid-a")
    ]
    assert prune([budget], known, ["PodDisruptionBudget"]) == []
