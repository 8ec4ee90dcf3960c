"""A claim for one node, a claim for many, and servers that would wait for a volume for ever."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client
from tests.support.builders import (
    H100,
    deployment,
    deployment_view,
    merged,
    node,
    ready_weights,
    world,
)

from llama_operator.api import labels
from llama_operator.reconcile.decide import Decision, decide
from llama_operator.reconcile.snapshot import SecretView

Object = dict[str, Any]
KEY = SecretView("web-api-key", True, frozenset({"default"}), frozenset({"uid-web"}))
FOUR = node(H100, **{"nvidia.com/gpu.count": "4"})
EIGHT = node(H100, **{"nvidia.com/gpu.count": "8"})


def decided(
    storage: Object | None = None, nodes: tuple[Object, ...] = (FOUR,), **spec: Any
) -> Decision:
    raw = deployment(**spec)
    made = ready_weights(raw)
    if storage:
        made = {**made, "spec": merged(made["spec"], {"storage": storage})}
    claim = {"spec": {"accessModes": storage.get("claim", ["ReadWriteMany"])}} if storage else None
    view = deployment_view(raw, weights=made, key=KEY, world=world(nodes=nodes), claim=claim)
    return decide(view)


def template(decision: Decision) -> Object:
    found: Object = next(obj for obj in decision.desired if obj["kind"] == "Deployment")
    client.V1Deployment.model_validate(found)
    return dict(found["spec"]["template"])


def test_servers_of_a_claim_for_one_node_stay_together() -> None:
    made = template(decided())
    (term,) = made["spec"]["affinity"]["podAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    wanted = term["labelSelector"]["matchLabels"]
    assert wanted.items() <= made["metadata"]["labels"].items(), "the first pod may go anywhere"
    assert labels.VOLUME in wanted


def test_the_template_is_the_same_for_any_number_of_replicas() -> None:
    assert template(decided(replicas=1)) == template(decided(replicas=2))


@pytest.mark.parametrize("mode", ["ReadWriteMany", "ReadOnlyMany"])
def test_servers_of_a_shared_claim_go_anywhere(mode: str) -> None:
    made = template(decided({"accessModes": [mode]}, replicas=9))
    assert "affinity" not in made["spec"]


def test_the_users_affinity_is_kept_beside_ours() -> None:
    other: Object = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    user: Object = {"podAffinity": {key: [other]}, "nodeAffinity": {}}
    made = template(decided(scheduling={"affinity": user}))
    assert made["spec"]["affinity"]["podAffinity"][key][0] == other
    assert len(made["spec"]["affinity"]["podAffinity"][key]) == 2


def test_more_servers_than_a_node_has_gpus_for_are_refused_with_what_would_do() -> None:
    decision = decided(gpu={"count": 2}, replicas=3)
    assert decision.weights_ready.reason == "VolumeNotUsable"
    message = decision.weights_ready.message
    assert "3 replicas of 2 GPUs do not fit on one node of 4" in message
    assert "spec.replicas to 2" in message
    assert "ReadWriteMany" in message
    assert decision.desired == []
    assert decided(gpu={"count": 2}, replicas=2).weights_ready.status == "True"
    assert decided(gpu={"count": 2}, replicas=3, nodes=(FOUR, EIGHT)).weights_ready.status == "True"
    assert decided({"accessModes": ["ReadWriteMany"]}, replicas=9).weights_ready.status == "True"


def test_a_claim_for_one_pod() -> None:
    decision = decided({"accessModes": ["ReadWriteOncePod"]}, replicas=2)
    assert "ReadWriteOncePod" in decision.weights_ready.message
    assert decided({"accessModes": ["ReadWriteOncePod"]}).weights_ready.status == "True"


def test_of_a_claim_that_the_user_named_the_claim_itself_tells() -> None:
    shared = decided({"claimName": "mine", "claim": ["ReadOnlyMany"]}, replicas=9)
    assert shared.weights_ready.status == "True"
    single = decided({"claimName": "mine", "claim": ["ReadWriteOnce"]}, replicas=9)
    assert single.weights_ready.reason == "VolumeNotUsable"
