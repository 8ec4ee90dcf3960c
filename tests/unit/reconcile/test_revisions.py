"""What was resolved for a spec stays until the spec changes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client
from tests.support.builders import (
    deployment,
    deployment_view,
    node,
    ready_weights,
    weights,
    weights_view,
    world,
)

from llama_operator.catalog import catalog
from llama_operator.planner.plan import Plan
from llama_operator.reconcile import decide_weights, revisions
from llama_operator.reconcile.actions import Apply, Delete
from llama_operator.reconcile.decide import Decision, decide
from llama_operator.reconcile.packed import Squeezer
from llama_operator.reconcile.snapshot import DeploymentView, SecretView
from llama_operator.render import pod
from llama_operator.render.inputs import Settings

Object = dict[str, Any]
KEY = SecretView("web-api-key", True, frozenset({"default"}), frozenset({"uid-web"}))


def seen(children: list[Object] | None = None, **change: Any) -> DeploymentView:
    spec = change.pop("spec", {})
    raw = deployment(**spec)
    change.setdefault("weights", ready_weights(raw))
    return deployment_view(raw, children, key=KEY, **change)


def applied(decision: Decision) -> list[Object]:
    return [action.obj for action in decision.actions if isinstance(action, Apply)]


def cached(objects: list[Object]) -> list[Object]:
    squeeze = Squeezer()
    return [
        revisions.slim(obj, squeeze) if obj["kind"] == revisions.KIND else obj for obj in objects
    ]


def made(**change: Any) -> list[Object]:
    return cached(applied(decide(seen(**change))))


def template(decision: Decision) -> Object:
    found = next(obj for obj in decision.desired if obj["kind"] == "Deployment")
    return dict(found["spec"]["template"])


def test_the_revision_is_written_before_any_server_follows_it() -> None:
    first, *_, last = applied(decide(seen()))
    assert (first["kind"], last["kind"]) == (revisions.KIND, "Deployment")
    client.V1ControllerRevision.model_validate(first)
    assert first["data"]["template"] == last["spec"]["template"]


def test_another_template_another_catalogue_and_other_nodes_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = decide(seen())
    children = made()
    monkeypatch.setattr(pod, "PRESTOP_SECONDS", 99)
    monkeypatch.setattr("llama_operator.planner.versions.default_image", lambda _: "new:1")
    bigger = [replace(each, weights_bytes=2 * each.weights_bytes) for each in catalog.load()]
    other = world(catalog=catalog.Catalog(bigger), nodes=(node("NVIDIA-L4"),))
    after = decide(seen(children, world=other))
    assert after.actions == []
    assert template(after) == template(before)
    assert after.judgement.plan == before.judgement.plan


def test_a_collector_of_traces_for_all_reaches_new_servers_only() -> None:
    before, other = decide(seen()), world(settings=Settings(otlp_endpoint="http://c:4317"))
    after = decide(seen(made(), world=other))
    assert (after.actions, template(after)) == ([], template(before))
    fresh = template(decide(seen(world=other)))
    assert "--otlp-traces-endpoint=http://c:4317" in fresh["spec"]["containers"][0]["args"]


def test_a_server_that_has_gone_comes_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    before = template(decide(seen()))
    kept = [obj for obj in made() if obj["kind"] == revisions.KIND]
    monkeypatch.setattr(pod, "PRESTOP_SECONDS", 99)
    again = applied(decide(seen(kept)))
    assert next(obj for obj in again if obj["kind"] == "Deployment")["spec"]["template"] == before


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 3},
        {"paused": True},
        {"disruption": {"maxUnavailable": 2}},
        {"retention": {"policy": "Retain"}},
        {"endpoint": {"networkPolicy": {"enabled": False}}},
        {"rollout": {"historyLimit": 2}},
        {"podMetadata": {"labels": {"team": "a"}}},
        {"rollout": {"strategy": "Swap", "allowDowntime": False, "automaticRollback": False}},
        {"engine": {"image": "", "device": "cuda"}, "auth": {"mode": "APIKey"}},  # defaults
    ],
)
def test_what_needs_no_restart_is_no_revision(spec: Object) -> None:
    raw = deployment(**spec)
    changed = deployment_view(raw, weights=ready_weights(deployment()), key=KEY)
    assert revisions.name_of(changed) == revisions.name_of(seen())


def test_labels_of_the_deployment_and_other_keys_touch_no_server() -> None:
    children = made()
    labelled = deployment(meta={"labels": {"team": "b"}, "annotations": {"note": "x"}})
    view = deployment_view(labelled, children, weights=ready_weights(labelled), key=KEY)
    assert decide(view).actions == []
    more = replace(KEY, entries=frozenset({"default", "alice", "bob"}))
    assert decide(replace(view, key=more)).actions == []


def test_replicas_change_the_count_and_not_the_template() -> None:
    children = made()
    (scaled,) = [
        obj for obj in applied(decide(seen(children, spec={"replicas": 3})))
        if obj["kind"] == "Deployment"
    ]  # fmt: skip
    before = next(obj for obj in children if obj["kind"] == "Deployment")
    assert scaled["spec"]["template"] == before["spec"]["template"]
    assert scaled["spec"]["strategy"] == before["spec"]["strategy"]


@pytest.mark.parametrize(
    "spec",
    [
        {"sizing": {"maxModelLen": 4096}},
        {"engine": {"args": ["--seed=1"]}},
        {"podMetadata": {"annotations": {"a": "b"}}},
        {"scheduling": {"priorityClassName": "high"}},
        {"endpoint": {"port": 9000}},
    ],
)
def test_what_needs_a_restart_is_one(spec: Object) -> None:
    assert revisions.name_of(seen(spec=spec)) != revisions.name_of(seen())


def test_another_copy_is_another_revision() -> None:
    other = ready_weights(deployment())
    other["status"]["path"] = "llama-3.1-8b-instruct/fedcba9876543210"
    assert revisions.name_of(seen(weights=other)) != revisions.name_of(seen())


def test_going_back_is_the_old_template(monkeypatch: pytest.MonkeyPatch) -> None:
    before = template(decide(seen()))
    children = made()
    monkeypatch.setattr(pod, "PRESTOP_SECONDS", 99)
    children += made(spec={"replicas": 1, "engine": {"args": ["--seed=1"]}})
    assert template(decide(seen(children))) == before


def test_history_is_kept_up_to_its_limit_the_oldest_goes_first() -> None:
    children: list[Object] = []
    for seed in range(8):
        view = seen(children, spec={"engine": {"args": [f"--seed={seed}"]}})
        decision = decide(view)
        gone = {action.name for action in decision.actions if isinstance(action, Delete)}
        new = cached([obj for obj in applied(decision) if obj["kind"] == revisions.KIND])
        for obj in new:
            obj["metadata"] = {**obj["metadata"], "uid": f"uid-{seed}"}
        children = [obj for obj in [*children, *new] if obj["metadata"]["name"] not in gone]
    assert sorted(obj["revision"] for obj in children) == [3, 4, 5, 6, 7, 8]
    fewer = seen(children, spec={"engine": {"args": ["--seed=7"]}, "rollout": {"historyLimit": 0}})
    deleted = [action for action in decide(fewer).actions if isinstance(action, Delete)]
    assert len(deleted) == 5
    assert revisions.name_of(fewer) not in {action.name for action in deleted}


def test_a_cache_that_lags_behind_gives_no_number_twice() -> None:
    numbers = []
    for generation in (1, 2):
        view = seen(spec={"engine": {"args": [f"--seed={generation}"]}})
        view.raw["metadata"]["generation"] = generation
        numbers += [
            obj["revision"] for obj in applied(decide(view)) if obj["kind"] == revisions.KIND
        ]
    assert numbers == [1, 2]


def test_what_is_written_down_reads_back_the_same() -> None:
    (made_now, *_) = applied(decide(seen()))
    assert json.loads(json.dumps(made_now)) == made_now


def test_a_revision_of_another_version_is_not_believed() -> None:
    spoilt: list[Object] = [{}, {"plan": {}}, {"plan": 7, "template": {}}]
    for spoil in spoilt:
        (kept, *_) = applied(decide(seen()))
        odd = revisions.slim({**kept, "data": spoil}, Squeezer())
        assert revisions.find(seen([odd]), odd["metadata"]["name"]) is None


def test_a_plan_survives_being_written_down() -> None:
    plan = decide(seen()).judgement.plan
    assert plan is not None
    assert Plan.from_data(plan.to_data()) == plan


def test_status_names_the_revision_of_the_spec_and_that_which_answers() -> None:
    from llama_operator.reconcile import status

    view = seen(made())
    built = status.build(view, decide(view), None, "2026-01-01T12:00:00Z")
    assert built["revision"] == {"update": revisions.name_of(view)}
    (old, *_) = made(spec={"engine": {"args": ["--seed=1"]}})
    answering = {
        "metadata": {"annotations": {"llamactl.dev/intent-hash": old["stamp"]}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    rolling = seen([*made(), old], pods=(answering,))
    built = status.build(rolling, decide(rolling), None, "2026-01-01T12:00:00Z")
    assert built["revision"]["current"] == old["metadata"]["name"]


def test_a_copy_that_a_kept_revision_mounts_is_not_unused() -> None:
    status = {"digest": "sha256:" + "d" * 64, "unusedSince": "2020-01-01T00:00:00Z"}
    raw = weights(status=status, retention={"policy": "Delete", "afterUnused": "1h"})
    held = decide_weights.decide(weights_view(raw, keepers=("web",)))
    assert not [action for action in held.actions if isinstance(action, Delete)]
    assert "unusedSince" not in held.facts
    free = decide_weights.decide(weights_view(raw))
    assert [action for action in free.actions if isinstance(action, Delete)]


def test_the_cache_knows_which_copy_a_revision_mounts() -> None:
    (kept, *_) = made()
    (copy,) = revisions.copies_of(kept)
    assert copy.startswith("default/llama-3-1-8b-instruct-")
    assert copy.endswith("/llama-3.1-8b-instruct/0123456789abcdef")
