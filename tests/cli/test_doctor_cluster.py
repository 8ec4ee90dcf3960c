"""`llamactl doctor cluster`: what a cluster has, what that means, and what one may not see."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llama_operator import __version__
from llama_operator.api import crd
from llama_operator.install import manifests
from llamactl import cluster_page, cluster_storage, crd_fields, rights
from llamactl.cluster_checks import ADD_ONS, run
from llamactl.cluster_facts import Facts
from tests.cli.conftest import Run
from tests.cli.fake_api import Answer, Fake, status
from tests.support.builders import resource_slice

Object = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SERVERS = "/apis/apps/v1/deployments"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
NODES = "/api/v1/nodes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
DEVICES = "/apis/resource.k8s.io/v1"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
LEASES = "/apis/coordination.k8s.io/v1/leases"
CRD_OBJECTS = crd.all_crds()
ALL = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


def node(name: str = "n1", gpus: str = "8", **labels: str) -> Object:
    found = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559"}
    held = {"cpu": "64", "nvidia.com/gpu": gpus}
    meta = {"name": name, "labels": labels or found}
    return {"metadata": meta, "status": {"allocatable": held}}


def storage_class(name: str, provisioner: str, *, default: bool = False) -> Object:
    mark = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": mark}, "provisioner": provisioner}


def operator(ready: int = 2, version: str = __version__) -> Object:
    labels = {"app.kubernetes.io/version": version}
    meta = {"name": "llama-operator", "namespace": "llama-system", "labels": labels}
    return {"metadata": meta, "status": {"readyReplicas": ready}}


def whole() -> dict[str, Any]:
    """Facts of a cluster that has everything."""
    groups = [group for each in ADD_ONS for group in each.groups]
    return {
        "namespace": "n",
        "version": "v1.36.3",
        "groups": {group: ["v1"] for group in [*groups, "llamactl.dev", "resource.k8s.io"]},
        "crds": {each["metadata"]["name"]: each for each in CRD_OBJECTS},
        "operators": [operator()],
        "leases": [],
        "operator_rules": [
            rule
            for each in manifests("x")
            if each["kind"] in ("ClusterRole", "Role")
            for rule in each["rules"]
        ],
        "own_rules": [ALL],
        "nodes": [node()],
        "classes": [storage_class("files", "nfs.csi.k8s.io", default=True)],
        "device_classes": [{"metadata": {"name": "gpu.nvidia.com"}}],
        "device_slices": [resource_slice("n1", count=8)],
    }


def checks(**more: Any) -> dict[str, Any]:
    return {each.what: each for each in run(Facts(**{**whole(), **more}), __version__)}


def test_a_cluster_that_has_everything() -> None:
    assert {each.state for each in checks().values()} == {"ok"}
    assert {"CRD LlamaDeployment", "Operator", "GPUs", "KEDA", "KServe", "Gateway API"} <= set(
        checks()
    )


def test_an_empty_cluster() -> None:
    found = run(Facts("n", "v1.36.3", {}, {}, [], [], [], [], [], []), __version__)
    states = {each.what: each.state for each in found}
    bad = {what for what, state in states.items() if state == "bad"}
    assert bad == {"CRD LlamaDeployment", "CRD LlamaWeights", "Operator"}
    assert set(states.values()) == {"ok", "bad", "note"}
    assert all(each.meaning for each in found)


# -- CRDs ---------------------------------------------------------------------------------------


def changed(edit: Any) -> dict[str, Any]:
    """The check of a CRD whose spec properties were edited."""
    there = copy.deepcopy({each["metadata"]["name"]: each for each in CRD_OBJECTS})
    version = there["llamadeployments.llamactl.dev"]["spec"]["versions"][0]
    edit(version, version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])
    return checks(crds=there)["CRD LlamaDeployment"]  # type: ignore[no-any-return]


def test_an_older_crd_lacks_fields_and_is_named_with_the_command() -> None:
    found: Any = changed(
        lambda _, spec: (spec.pop("sizing"), spec["gpu"]["properties"].pop("count"))
    )
    assert found.state == "bad"
    assert "it lacks spec.gpu.count, spec.sizing." in found.meaning
    assert "llama-operator manifests --crds-only" in found.meaning


def test_a_newer_crd_is_a_note() -> None:
    found: Any = changed(lambda _, spec: spec.update(magic={"type": "string"}))
    assert (found.state, "spec.magic" in found.meaning) == ("note", True)


def test_a_version_that_is_not_served() -> None:
    found: Any = changed(lambda version, _: version.update(served=False))
    assert (found.state, found.found) == ("bad", "another version")


def test_fields_in_lists_and_maps_are_compared() -> None:
    def schema(inner: Object) -> Object:
        version = {"name": "v", "served": True, "schema": {"openAPIV3Schema": inner}}
        return {"spec": {"versions": [version]}}

    one: Object = {"properties": {"a": {"items": {"properties": {"b": {}, "c": {}}}}}}
    other: Object = {"properties": {"a": {"items": {"properties": {"b": {}}}}}}
    assert crd_fields.differences(schema(other), schema(one), "v") == (["a[].c"], [])
    assert crd_fields.differences(schema(one), schema(other), "v") == ([], ["a[].c"])


# -- operator and rights ------------------------------------------------------------------------


def test_an_operator_that_is_not_ready_is_bad() -> None:
    found = checks(operators=[operator(ready=0)])["Operator"]
    assert (found.state, "-n llama-system" in found.meaning) == ("bad", True)


def test_an_operator_of_another_version_is_a_note() -> None:
    found = checks(operators=[operator(version="9.9.9")])["Operator"]
    assert (found.state, found.found) == ("note", "2 ready 9.9.9")


@pytest.mark.parametrize(("seconds", "state"), [(5, "ok"), (3600, "bad")])
def test_an_operator_outside_of_the_cluster_shows_by_its_lease(seconds: int, state: str) -> None:
    renewed = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
    lease = {"spec": {"holderIdentity": "laptop_1-2", "renewTime": renewed}}
    assert checks(operators=[], leases=[lease])["Operator"].state == state


def test_a_right_that_the_operator_lacks_is_named_as_a_rule() -> None:
    given = [dict(rule) for rule in whole()["operator_rules"]]
    given = [rule for rule in given if rule["resources"] != ["pods/log"]]
    found = checks(operator_rules=given)["Operator's rights"]
    assert found.state == "bad"
    assert found.rules == ('{apiGroups: [""], resources: [pods/log], verbs: [get]}',)


def test_ones_own_limits_are_named_and_are_no_fault() -> None:
    given = [{"apiGroups": ["llamactl.dev"], "resources": ["*"], "verbs": ["get", "list"]}]
    found = checks(own_rules=given)["Your rights"]
    assert found.state == "note"
    words = "resources: [llamadeployments, llamaweights], verbs: [watch, create, patch, delete]"
    assert found.rules[0] == f'{{apiGroups: ["llamactl.dev"], {words}}}'
    assert '{apiGroups: [""], resources: [secrets], verbs: [get, patch]}' in found.rules
    page = cluster_page.page([found], [], 60)
    assert all(f"- {rule}" in page.splitlines() for rule in found.rules)


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (ALL, True),
        ({**ALL, "resourceNames": ["x"]}, False),
        ({**ALL, "apiGroups": ["apps"]}, False),
        ({**ALL, "resources": ["pods"]}, False),
        ({**ALL, "resources": ["*/log"]}, True),
        ({**ALL, "resources": ["pods/log"], "verbs": ["list"]}, False),
    ],
)
def test_what_a_rule_allows(rule: Object, allowed: bool) -> None:
    assert rights.allowed(("", "pods/log", "get"), [rule]) == allowed


# -- GPUs and storage ---------------------------------------------------------------------------


def test_cards_without_a_device_plugin_are_bad() -> None:
    found = checks(nodes=[node("dark", gpus="0"), node("fine")])
    assert found["GPUs"].state == "ok"
    assert (found["Device plugin"].state, found["Device plugin"].found) == (
        "bad",
        "nothing on dark",
    )


def test_gpus_without_labels_are_bad() -> None:
    found = checks(nodes=[node(**{"kubernetes.io/os": "linux"})])
    assert found["GPUs"].state == "bad"
    assert "spec.gpu.product" in found["GPUs"].meaning
    assert found["Device plugin"].state == "ok"


def test_a_cluster_without_gpus_is_one_for_cpus() -> None:
    bare = {"metadata": {"name": "n", "labels": {}}, "status": {"allocatable": {"cpu": "2"}}}
    found = checks(nodes=[bare])
    assert (found["GPUs"].state, found["Device plugin"].state) == ("note", "note")


def test_storage_by_provisioner_and_default() -> None:
    found = checks(classes=[storage_class("disk", "ebs.csi.aws.com"), storage_class("odd", "x.y")])
    assert found["Storage classes"].found == "disk (ReadWriteOnce), odd (?)"
    assert (found["Default class"].state, found["Default class"].found) == ("note", "none")
    assert found["Shared volumes"].found == "not known of odd"
    two = [storage_class(name, "nfs.csi.k8s.io", default=True) for name in "ab"]
    assert checks(classes=two)["Default class"].found == "a, b"
    assert (
        cluster_storage.access({"provisioner": "rook-ceph.cephfs.csi.ceph.com"}) == "ReadWriteMany"
    )


# -- the command --------------------------------------------------------------------------------


@pytest.fixture
def cluster(api: Fake) -> Fake:
    """The same cluster behind an API server."""
    facts = whole()
    api.put("/version", {"gitVersion": facts["version"]})
    groups = [{"name": n, "versions": [{"version": "v1"}]} for n in facts["groups"]]
    api.put("/apis", {"groups": groups})
    for each in CRD_OBJECTS:
        api.put(f"{CRDS}/{each['metadata']['name']}", json.loads(json.dumps(each)))
    api.put(f"{SERVERS}/llama-operator", operator())
    api.put(f"{ROLES}/llama-operator", {"rules": facts["operator_rules"]})
    api.put(REVIEWS, {"status": {"resourceRules": [ALL], "incomplete": False}})
    api.put(f"{NODES}/n1", node())
    api.put(f"{CLASSES}/files", facts["classes"][0])
    api.put(f"{DEVICES}/deviceclasses/gpu.nvidia.com", facts["device_classes"][0])
    api.put(f"{DEVICES}/resourceslices/n1", facts["device_slices"][0])
    return api


def test_the_table_fits_and_exits_with_0(llamactl: Run, cluster: Fake) -> None:
    result = llamactl("doctor", "cluster")
    assert result.exit_code == 0, result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert "1 x" not in result.stdout
    assert "8 NVIDIA-H100-80GB-HBM3 on n1" in " ".join(result.stdout.split())
    narrow = llamactl("doctor", "cluster", env={"COLUMNS": "70"})
    assert max(map(len, narrow.stdout.splitlines())) <= 70


def test_the_document_and_exit_code_of_a_bad_one(llamactl: Run, cluster: Fake) -> None:
    del cluster.objects[f"{CRDS}/llamaweights.llamactl.dev"]
    result = llamactl("doctor", "cluster", "-o", "json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    bad = [row["check"] for row in found["checks"] if row["state"] == "bad"]
    assert (found["healthy"], bad, found["unread"]) == (False, ["CRD LlamaWeights"], [])


def test_it_reads_only_and_asks_for_the_operators_own_objects(llamactl: Run, cluster: Fake) -> None:
    llamactl("doctor", "cluster")
    assert {method for method, path in cluster.asked if not path.startswith(REVIEWS)} == {"GET"}
    paths = [path for _, path in cluster.asked]
    assert any(
        "deployments?labelSelector=app.kubernetes.io%2Fname%3Dllama-operator" in p for p in paths
    )
    assert any("leases?fieldSelector=metadata.name%3Dllama-operator" in p for p in paths)


def test_what_may_not_be_read_is_unknown_with_verb_resource_and_rule(
    llamactl: Run, cluster: Fake
) -> None:
    def forbid(fake: Fake, method: str, path: str, body: Object) -> Answer | None:
        if path in (NODES, CRDS, CLASSES, ROLES, SERVERS, LEASES):
            return 403, status(403, "Forbidden", 'User "u" cannot list that')
        return None

    cluster.rules.append(forbid)
    result = llamactl("doctor", "cluster", "-o", "json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    states = {row["check"]: row["state"] for row in found["checks"]}
    for what in ("CRD LlamaDeployment", "Operator", "Operator's rights", "GPUs", "Default class"):
        assert states[what] == "unknown", what
    assert states["Your rights"] == "ok"
    notes = "\n".join(found["unread"])
    assert "you may not list nodes in the cluster (403)" in notes
    assert 'rule: {apiGroups: [""], resources: [nodes], verbs: [list]}' in notes
    assert 'apiGroups: ["storage.k8s.io"], resources: [storageclasses], verbs: [list]' in notes


def test_a_deployment_of_that_name_can_be_named(llamactl: Run, api: Fake) -> None:
    result = llamactl("doctor", "llama/cluster")
    assert result.exit_code == 1
    assert "no LlamaDeployment 'cluster'" in result.stderr


def test_the_cluster_is_not_mended(llamactl: Run) -> None:
    assert llamactl("doctor", "cluster", "--fix").exit_code == 2


def test_device_classes_and_what_comes_of_them() -> None:
    found = checks()["Device classes"]
    assert (found.state, found.found) == ("ok", "gpu.nvidia.com")
    assert "gpu.nvidia.com 8" in found.meaning
    assert checks(groups={"llamactl.dev": ["v1"]})["Device classes"].state == "note"
    assert checks(device_classes=[], device_slices=[])["Device classes"].found == "none"
    assert checks(device_classes=None)["Device classes"].state == "unknown"
    dark = checks(device_slices=[])["Device classes"]
    assert (dark.state, dark.found) == ("bad", "gpu.nvidia.com; no device")


def test_gpus_of_a_driver_alone_can_be_planned_for_and_need_no_device_plugin() -> None:
    bare = node("n1", "0", **{"nvidia.com/gpu.present": "true"})
    found = checks(nodes=[bare], device_slices=[resource_slice("n1", count=4)])
    assert "4 NVIDIA-H100-80GB-HBM3 on n1" in found["GPUs"].found
    assert found["Device plugin"].state == "note"
    assert checks(nodes=[bare], device_slices=[])["Device plugin"].state == "bad"
    other = checks(nodes=[bare], device_slices=[resource_slice("n2", count=4)])
    assert other["Device plugin"].state == "bad"
