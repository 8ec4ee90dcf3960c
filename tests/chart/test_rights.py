"""The rights that the chart gives are those of the one table, in both modes; CRDs are ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llama_operator.api import crd, labels
from llama_operator.install import manifests
from llama_operator.rbac import CLUSTER, OWN_NAMESPACE, WATCHED, rules
from tests.chart.helm import of, rendered

Object = dict[str, Any]
NAME = "llama-operator"
CLUSTER_WIDE: Object = {}
ONE_NAMESPACE: Object = {"watchNamespace": "team-a"}


def granted(objects: list[Object]) -> dict[str, list[Object]]:
    """Rules by where they hold: a namespace, or * for the cluster; each really bound."""
    found = {}
    for kind in ("ClusterRole", "Role"):
        bindings = {
            (each["metadata"].get("namespace"), each["roleRef"]["name"]): each["subjects"]
            for each in objects
            if each["kind"] == f"{kind}Binding" and each["roleRef"]["kind"] == kind
        }
        for role in objects:
            meta = role["metadata"]
            key = (meta.get("namespace"), meta["name"])
            if role["kind"] == kind and key in bindings:
                account = {"kind": "ServiceAccount", "name": NAME, "namespace": "llama-system"}
                assert bindings[key] == [account]
                found[meta.get("namespace", "*")] = role["rules"]
    return found


def test_cluster_wide_the_lease_alone_is_confined() -> None:
    assert granted(rendered(CLUSTER_WIDE)) == {
        "*": rules(WATCHED, CLUSTER),
        "llama-system": rules(OWN_NAMESPACE),
    }


def test_the_chart_gives_what_the_tests_of_the_operator_have() -> None:
    assert granted(rendered(CLUSTER_WIDE)) == granted(manifests("llama-system"))


def test_in_one_namespace_only_what_has_none_is_cluster_wide() -> None:
    assert granted(rendered(ONE_NAMESPACE)) == {
        "*": rules(CLUSTER),
        "team-a": rules(WATCHED),
        "llama-system": rules(OWN_NAMESPACE),
    }


def test_in_its_own_namespace_both_roles_are_there() -> None:
    objects = rendered({"watchNamespace": "llama-system"})
    names = {each["metadata"]["name"] for each in objects if each["kind"] == "Role"}
    assert names == {NAME, f"{NAME}-lease"}


def test_the_cluster_gives_only_reading_of_what_has_no_namespace() -> None:
    assert {verb for _, _, verbs in CLUSTER for verb in verbs} == {"get", "list", "watch"}
    secrets = [verbs for _, kinds, verbs in WATCHED if "secrets" in kinds]
    assert secrets == [("get", "create")]


def test_users_get_the_kinds_by_the_clusters_own_roles() -> None:
    view = of("ClusterRole", rendered(), f"{NAME}-view")
    edit = of("ClusterRole", rendered(), f"{NAME}-edit")
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    into = [
        {key.removeprefix(prefix) for key in each["metadata"]["labels"] if key.startswith(prefix)}
        for each in (view, edit)
    ]
    assert into == [{"view", "edit", "admin"}, {"edit", "admin"}]
    assert view["rules"][0]["verbs"] == ["get", "list", "watch"]
    # `llamactl doctor cluster` tells the operator's roles from those of users by this label.
    components = [each["metadata"]["labels"][labels.COMPONENT] for each in (view, edit)]
    assert components == ["users", "users"]
    assert "llamadeployments/status" not in edit["rules"][0]["resources"]
    off = rendered({"rbac": {"aggregate": False}})
    assert [each["metadata"]["name"] for each in off if each["kind"] == "ClusterRole"] == [NAME]


@pytest.mark.parametrize("made", crd.all_crds(), ids=lambda made: made["spec"]["names"]["kind"])
def test_crds_are_the_generated_ones_and_kept(made: Object) -> None:
    name = made["metadata"]["name"]
    found = of("CustomResourceDefinition", rendered({"crds": {"enabled": True}}), name)
    assert found["spec"] == json.loads(json.dumps(made["spec"]))
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    given_away = of("CustomResourceDefinition", rendered({"crds": {"keep": False}}), name)
    assert "annotations" not in given_away["metadata"]
    none = rendered({"crds": {"enabled": False}})
    assert not [each for each in none if each["kind"] == "CustomResourceDefinition"]
