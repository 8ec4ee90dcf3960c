"""Which change of an object is worth a reconcile of it."""

from __future__ import annotations

import pytest
from tests.support.builders import Object, deployment, merged, weights

from llama_operator.process import asks_otherwise, not_only_reports, not_only_users

OLD = weights(status={"usedBy": ["a"], "usedByCount": 1, "progress": {"bytes": 1}, "digest": "d"})


def changed(change: Object) -> Object:
    return merged(OLD, merged(change, {"metadata": {"resourceVersion": "2"}}))


@pytest.mark.parametrize(
    ("change", "itself", "users"),
    [
        ({"status": {"progress": {"bytes": 2}}}, False, False),
        ({"status": {"usedBy": ["a", "b"], "usedByCount": 2}}, False, False),
        ({"status": {"unusedSince": "2026-01-01T00:00:00Z"}}, True, False),
        ({"status": {"digest": "e"}}, True, True),
        ({"metadata": {"finalizers": ["x"]}}, True, True),
        ({"metadata": {"generation": 2}}, True, True),
        ({}, False, False),
    ],
)
def test_reports_bring_about_no_reconcile(change: Object, itself: bool, users: bool) -> None:
    assert not_only_reports("update", OLD, changed(change)) is itself
    assert not_only_users("update", OLD, changed(change)) is users


def test_coming_and_going_always_count() -> None:
    for predicate in (not_only_reports, not_only_users, asks_otherwise):
        assert predicate("add", None, OLD)
        assert predicate("delete", OLD, None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"spec": {"replicas": 3}}, False),
        ({"metadata": {"generation": 2, "labels": {"team": "b"}}}, False),
        ({"status": {"replicas": 1}}, False),
        ({"spec": {"weightsRef": {"name": "other"}}}, True),
        (
            {"spec": {"adapters": [{"name": "sql", "source": {"huggingFace": {"repo": "o/sql"}}}]}},
            True,
        ),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, True),
    ],
)
def test_a_copy_hears_of_users_that_come_and_go(change: Object, told: bool) -> None:
    old = deployment(weightsRef={"name": "mine"}, lora={"enabled": True})
    uid = {"metadata": {"uid": "uid-1"}}
    assert asks_otherwise("update", merged(old, uid), merged(merged(old, uid), change)) is told
