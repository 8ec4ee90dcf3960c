"""Install, upgrade and uninstall of the chart on a real control plane; no node, so no pod runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.helm import Refused, helm, rendered
from tests.chart.variants import VARIANTS
from tests.support.cluster import Cluster, ClusterError
from tests.support.stack import Stack, wait_for

from llama_operator.chart.generate import CHART

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
Object = dict[str, Any]
RELEASE, NAMESPACE = "llama-operator", "llama-system"
WEIGHTS = {
    "apiVersion": "llamactl.dev/v1alpha1",
    "kind": "LlamaWeights",
    "metadata": {"name": "kept", "namespace": "default"},
    "spec": {"model": "llama-3.1-8b-instruct"},
}
CRDS = {"llamadeployments.llamactl.dev", "llamaweights.llamactl.dev"}


class Chart:
    """The release on a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def helm(self, *args: str, values: Object | None = None) -> str:
        env = {"KUBECONFIG": str(self.cluster.kubeconfig), "PATH": os.environ["PATH"]}
        return helm(*args, f"--namespace={NAMESPACE}", given=json.dumps(values or {}), env=env)

    def install(self, values: Object | None = None, *args: str, directory: Path = CHART) -> str:
        """Install or upgrade; nothing runs here, so nothing is waited for."""
        command = ("upgrade", "--install", "--create-namespace", RELEASE, str(directory))
        return self.helm(*command, "--values=-", *args, values=values)

    def uninstall(self) -> str:
        return self.helm("uninstall", RELEASE)

    def names(self, kinds: str, *args: str) -> set[str]:
        text = self.cluster.kubectl("get", kinds, *args, "-o", "json")
        return {each["metadata"]["name"] for each in json.loads(text)["items"]}

    def ours(self) -> set[str]:
        """Everything of the release in its namespace and the cluster."""
        mine = ("-l", f"app.kubernetes.io/instance={RELEASE}")
        spaced = "deployments,services,serviceaccounts,roles,rolebindings,networkpolicies,pdb"
        return self.names(spaced, "-n", NAMESPACE, *mine) | self.names(
            "clusterroles,clusterrolebindings,validatingadmissionpolicies", *mine
        )


def spec_of(crd: Object) -> Object:
    """The properties of a spec."""
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    properties: Object = schema["properties"]["spec"]["properties"]
    return properties


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chart]:
    with Cluster.control_plane(tmp_path_factory.mktemp("chart") / "cluster") as cluster:
        yield Chart(cluster)


def test_install_upgrade_uninstall_and_install_again(chart: Chart) -> None:
    said = chart.install()
    assert "STATUS: deployed" in said
    assert "kubectl -n llama-system rollout status deployment/llama-operator" in said
    assert chart.names("crds") == CRDS
    chart.cluster.kubectl("apply", "-f", "-", input=json.dumps(WEIGHTS))

    chart.install({"operator": {"replicas": 3}, "admissionPolicy": {"enabled": True, "claims": []}})
    deployment = json.loads(
        chart.cluster.kubectl("get", "deployment", RELEASE, "-n", NAMESPACE, "-o", "json")
    )
    assert deployment["spec"]["replicas"] == 3
    assert chart.names("validatingadmissionpolicies")

    assert "CustomResourceDefinition" in chart.uninstall()  # what is kept is said
    assert chart.ours() == set()
    assert chart.names("crds") == CRDS
    assert chart.names("llamaweights", "-n", "default") == {"kept"}

    chart.install({"crds": {"keep": False}})
    assert chart.names("llamaweights", "-n", "default") == {"kept"}
    chart.uninstall()
    wait_for(lambda: not chart.names("crds"), 30, "the CRDs to be deleted")


def test_an_upgrade_brings_the_crds_of_the_chart(chart: Chart, tmp_path: Path) -> None:
    older = tmp_path / "llama-operator"
    shutil.copytree(CHART, older)
    file = older / "files" / "crds" / "llamaweights.llamactl.dev.yaml"
    crd = yaml.load(file.read_text(), yaml.CSafeLoader)
    spec_of(crd).pop("verify")
    file.write_text(yaml.safe_dump(crd))

    def served() -> Object:
        text = chart.cluster.kubectl("get", f"crd/{crd['metadata']['name']}", "-o", "json")
        return spec_of(json.loads(text))

    chart.install(directory=older)
    assert "verify" not in served()
    chart.install()
    assert "verify" in served()
    chart.uninstall()


def test_what_the_operators_own_manifests_made_can_be_taken_over(chart: Chart) -> None:
    Stack(chart.cluster).install()
    with pytest.raises(Refused):
        chart.install()
    chart.install({}, "--take-ownership", "--force-conflicts")
    assert RELEASE in chart.ours()
    chart.uninstall()
    assert chart.names("crds") == CRDS


def test_a_wrong_value_reaches_no_cluster(chart: Chart) -> None:
    with pytest.raises(Refused, match="additional properties 'replicaCount' not allowed"):
        chart.install({"replicaCount": 2})
    assert RELEASE not in chart.helm("list", "--short")


def test_every_object_is_accepted_as_it_is_by_a_strict_server(chart: Chart) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    for name in ("team-a", "grafana", NAMESPACE):
        meta = {"name": name, "labels": labels}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
        chart.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-",
                              input=json.dumps(namespace))  # fmt: skip
    for name, values in VARIANTS.items():
        foreign = ("monitoring.coreos.com/", "cert-manager.io/")
        known = [each for each in rendered(values) if not each["apiVersion"].startswith(foreign)]
        said = chart.cluster.kubectl(
            "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict",
            "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": known}),
        )  # fmt: skip
        assert said.count("serverside-applied") == len(known), name


def test_the_pod_is_admitted_under_restricted_without_a_warning(chart: Chart) -> None:
    for values in ({}, {"podUserId": 0}):
        (deployment,) = [obj for obj in rendered(values) if obj["kind"] == "Deployment"]
        template = deployment["spec"]["template"]
        spec = {**template["spec"], "serviceAccountName": "default"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
        chart.cluster.kubectl("create", "--dry-run=server", "-n", NAMESPACE, "-f", "-",
                              input=json.dumps(pod))  # fmt: skip
        bad = {**pod, "spec": {**spec, "hostNetwork": True}}
        with pytest.raises(ClusterError, match="restricted"):
            chart.cluster.kubectl("create", "--dry-run=server", "-n", NAMESPACE, "-f", "-",
                                  input=json.dumps(bad))  # fmt: skip


def leader(stack: Stack) -> str:
    """Who holds the lease."""
    (lease,) = stack.list("leases", NAMESPACE) or [{"spec": {}}]
    return str(lease["spec"].get("holderIdentity", ""))


def test_the_operator_works_with_the_rights_of_one_namespace(chart: Chart) -> None:
    chart.install({"watchNamespace": "team-a"})
    stack = Stack(chart.cluster)
    stack.start_operator("https://hub.invalid", "--weights-runtime-class=",
                         "--watch-namespace=team-a")  # fmt: skip
    try:
        wait_for(lambda: leader(stack), 20, "a leader")
        log = stack.log("llama-operator")
        assert "forbidden" not in log.lower()
        account = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"

        def may(verb: str, what: str, namespace: str) -> bool:
            try:
                asked = ("auth", "can-i", verb, what, "-n", namespace, f"--as={account}")
                return chart.cluster.kubectl(*asked).strip() == "yes"
            except ClusterError:
                return False

        assert may("create", "deployments", "team-a")
        assert not may("create", "deployments", "default")
        assert not may("get", "secrets", NAMESPACE)
        assert may("patch", "leases", NAMESPACE)
        assert not may("patch", "leases", "team-a")
        assert may("list", "nodes", "")
    finally:
        stack.stop("llama-operator")
        chart.uninstall()
