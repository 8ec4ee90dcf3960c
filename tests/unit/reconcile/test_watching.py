"""Which change of an object is worth a reconcile of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tests.support.builders import Object, deployment, deployment_view, merged, weights

from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.watching import (
    asks_otherwise,
    not_only_reports,
    not_only_users,
    routed_by,
    until_counted,
)
from llama_operator.reconcile.watching import routed as routes
from llama_operator.runtime.resource import Key

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


def routed(name: str, **parent: str) -> Object:
    return deployment(name, endpoint={"httpRoute": {"parentRefs": [{"name": "public", **parent}]}})


def test_a_gateway_is_news_for_those_that_name_it_and_its_kind_for_all_with_a_route() -> None:
    caches = Caches(SimpleNamespace(clock=None))  # type: ignore[arg-type]
    far, near = routed("far", namespace="infra"), routed("near")
    for raw in (deployment("none"), far, near):
        caches.deployments.store.put(raw)
    assert set(routes(caches)) == {Key("default", "far"), Key("default", "near")}
    gateway = {"metadata": {"name": "public", "namespace": "infra"}}
    assert routed_by(caches)(gateway) == [Key("default", "far")]
    assert routed_by(caches)({"metadata": {"name": "other", "namespace": "infra"}}) == []


@pytest.mark.parametrize(("watched", "seen"), [(None, True), ("infra", True), ("default", False)])
def test_gateways_of_a_spec_are_known_as_far_as_they_are_watched(
    watched: str | None, seen: bool
) -> None:
    caches = Caches(SimpleNamespace(clock=None), watched)  # type: ignore[arg-type]
    spec = deployment_view(routed("far", namespace="infra")).spec
    assert caches.gateways_of(spec, "default") == ({("infra", "public"): None} if seen else {})
    found = {"metadata": {"name": "public", "namespace": "infra", "resourceVersion": "1"}}
    caches.gateways.store.put(found)
    assert caches.gateways_of(spec, "default") == ({("infra", "public"): found} if seen else {})
    caches.gateways._reflector.served = False
    assert caches.gateways_of(spec, "default") is None


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


def test_the_more_users_a_copy_has_the_more_rarely_they_are_counted() -> None:
    caches = Caches(SimpleNamespace(clock=None))  # type: ignore[arg-type]
    pause, copy = until_counted(caches), Key("default", "mine")
    assert pause(copy) == 1.0
    for number in range(3000):
        raw = deployment(f"web-{number}", weightsRef={"name": "mine"})
        caches.deployments.store.put(raw)
    assert (caches.count_users(*copy), pause(copy)) == (3000, 3.0)
    assert pause(Key("other", "mine")) == 1.0
