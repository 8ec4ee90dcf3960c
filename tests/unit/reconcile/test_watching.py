"""Which change of an object is worth a reconcile of it."""

from __future__ import annotations

import pytest
from tests.support.builders import Object, merged, weights

from llama_operator.process import not_only_reports, not_only_users

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
    for predicate in (not_only_reports, not_only_users):
        assert predicate("add", None, OLD)
        assert predicate("delete", OLD, None)
