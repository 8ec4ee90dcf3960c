"""Which nodes would take a pod, as the scheduler judges it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import gpu_node

from llama_operator.reconcile.placement import eligible

Object = dict[str, Any]
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def takes(node: Object, pod: Object) -> bool:
    return bool(eligible([node], pod))


def near(*expressions: Object, fields: tuple[Object, ...] = ()) -> Object:
    term = {"matchExpressions": list(expressions), "matchFields": list(fields)}
    wanted = {"nodeSelectorTerms": [term]}
    return {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": wanted}}
    }


def test_a_plain_node_takes_a_plain_pod_and_a_cordoned_one_none() -> None:
    assert takes(gpu_node(), {})
    assert not takes(gpu_node(spec={"unschedulable": True}), {})


def test_every_label_of_the_selector_must_be_there() -> None:
    node = gpu_node(metadata={"labels": {"zone": "a"}})
    assert takes(node, {"nodeSelector": {"zone": "a"}})
    assert not takes(node, {"nodeSelector": {"zone": "a", "pool": "gpu"}})


@pytest.mark.parametrize(
    ("toleration", "taken"),
    [
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "value": "present"}, True),
        ({"key": "nvidia.com/gpu", "value": "absent"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_a_taint_wants_its_toleration(toleration: Object, taken: bool) -> None:
    assert takes(gpu_node(spec={"taints": [TAINT]}), {"tolerations": [toleration]}) is taken


def test_a_taint_that_only_prefers_keeps_nobody_away() -> None:
    assert takes(gpu_node(spec={"taints": [{**TAINT, "effect": "PreferNoSchedule"}]}), {})


@pytest.mark.parametrize(
    ("operator", "values", "taken"),
    [
        ("In", ["7", "8"], True), ("In", ["9"], False), ("NotIn", ["8"], False),
        ("NotIn", ["9"], True), ("Exists", [], True), ("DoesNotExist", [], False),
        ("Gt", ["7"], True), ("Gt", ["8"], False), ("Lt", ["9"], True), ("Lt", ["8"], False),
        ("Odd", ["8"], False),
    ],
)  # fmt: skip
def test_node_affinity(operator: str, values: list[str], taken: bool) -> None:
    node = gpu_node(metadata={"labels": {"cards": "8"}})
    wanted = {"key": "cards", "operator": operator, "values": values}
    assert takes(node, near(wanted)) is taken


def test_a_node_by_its_name_and_a_term_that_says_nothing() -> None:
    named = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
    assert takes(gpu_node("n1"), near(fields=(named,)))
    assert not takes(gpu_node("n2"), near(fields=(named,)))
    assert not takes(gpu_node(), near())
