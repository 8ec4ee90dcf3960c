"""The operator on a real API server, with its own service account; only the kubelet is played."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.played import Kubelet
from tests.support.builders import COMMIT, DEFAULT_CLASS, DIGEST, H100, SMOLLM2
from tests.support.cluster import Cluster, ClusterError
from tests.support.stack import OPERATOR, Stack, wait_for

pytestmark = pytest.mark.cluster
Object = dict[str, Any]
SCHEDULER = "kube-scheduler"
ACCESSIBLE = {
    "ok": True,
    "commit": COMMIT,
    "bytes": 16_060_556_376,
    "files": 12,
    "format": "safetensors",
}
FETCHED = {**ACCESSIBLE, "digest": DIGEST}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A control plane with the operator beside it."""
    with Cluster.control_plane(tmp_path_factory.mktemp("operator") / "cluster") as cluster:
        made = Stack(cluster)
        made.install()
        # It would call a pod that is played, and so is on no node, unschedulable again and again.
        cluster.processes.stop([SCHEDULER])
        cluster.kubectl("apply", "-f", "-", input=json.dumps(DEFAULT_CLASS))
        start(made)
        yield made


@pytest.fixture
def kubelet(stack: Stack) -> Kubelet:
    return Kubelet(stack)


@pytest.fixture(autouse=True)
def clean(stack: Stack) -> Iterator[None]:
    yield
    for kind in ("llamas", "llamaweights"):
        stack.cluster.kubectl("delete", kind, "--all", "--timeout=30s")
    wait_for(
        lambda: not children(stack, "jobs,pods,deployments,services"),
        40,
        "children to be collected",
    )


@contextlib.contextmanager
def scheduling(stack: Stack) -> Iterator[None]:
    """Pods are scheduled, as far as there are nodes."""
    processes = stack.cluster.processes
    processes.start(processes.command(SCHEDULER))
    try:
        yield
    finally:
        processes.stop([SCHEDULER])


def start(stack: Stack, change: str = "") -> None:
    stack.start_operator("https://hub.invalid", "--weights-runtime-class=", change=change)


def apply(stack: Stack, name: str = "web", kind: str = "LlamaDeployment", **spec: Any) -> None:
    base = {"model": "llama-3.1-8b-instruct"} | (
        {"gpu": {"product": H100}} if kind == "LlamaDeployment" else {}
    )
    obj = {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {**base, **spec},
    }
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(obj))


def reaches(
    stack: Stack,
    which: str,
    reason: str,
    name: str = "web",
    kind: str = "llama",
    seconds: float = 20,
) -> Object:
    """The condition, once it has this reason."""

    def found() -> Object | None:
        condition = stack.condition(kind, name, which)
        return condition if condition.get("reason") == reason else None

    try:
        condition: Object = wait_for(found, seconds, f"{which}={reason}")
    except TimeoutError as error:
        status = stack.get(kind, name).get("status")
        raise AssertionError(
            f"{error}\n{json.dumps(status, indent=1)}\n{stack.log(OPERATOR)[-3000:]}"
        ) from None
    return condition


def weights_of(stack: Stack, name: str = "web") -> str:
    return str(
        wait_for(
            lambda: stack.get("llama", name).get("status", {}).get("weights", {}).get("name"),
            20,
            "weights",
        )
    )


def serve(stack: Stack, kubelet: Kubelet, **spec: Any) -> str:
    """Bring a deployment to Ready; returns the name of its weights."""
    apply(stack, **spec)
    kubelet.end("app.kubernetes.io/component=preflight", {**ACCESSIBLE, "shape": SMOLLM2})
    kubelet.end("app.kubernetes.io/component=fetch", FETCHED)
    kubelet.ready("app.kubernetes.io/component=server")
    reaches(stack, "Ready", "Serving")
    return weights_of(stack)


SERVERS = ("-l", "app.kubernetes.io/component=server")
OURS = ("-l", "app.kubernetes.io/managed-by=llama-operator")


def children(stack: Stack, kinds: str) -> list[Object]:
    """Objects of these kinds that the operator made."""
    return stack.list(kinds, "default", *OURS)


def versions(stack: Stack) -> dict[str, str]:
    kinds = (
        "llamas,llamaweights,jobs,pods,deployments,services,networkpolicies,persistentvolumeclaims"
    )
    return {
        f"{o['kind']}/{o['metadata']['name']}": o["metadata"]["resourceVersion"]
        for o in stack.list(kinds)
    }


def test_the_whole_way_and_what_is_left_afterwards(stack: Stack, kubelet: Kubelet) -> None:
    weights = serve(stack, kubelet)
    status = stack.get("llama", "web")["status"]
    assert status["plan"]["tensorParallel"] == 1
    assert status["endpoint"]["url"] == "http://web.default.svc:8000/v1"
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert stack.get("llamaweights", weights)["status"]["digest"] == DIGEST
    wait_for(lambda: not stack.list("jobs"), 20, "finished Jobs to be deleted")
    stack.cluster.kubectl("wait", "--for=condition=Ready", "llama/web", "--timeout=5s")
    stack.cluster.kubectl("delete", "llama", "web")
    wait_for(
        lambda: not children(stack, "deployments,services,networkpolicies,pods"),
        60,  # the garbage collector looks for new kinds each 30 s
        "garbage collection",
    )
    kept = stack.get("llamaweights", weights)
    assert wait_for(
        lambda: stack.get("llamaweights", weights)["status"].get("unusedSince"), 10, "unusedSince"
    )
    assert kept["spec"]["retention"] == {"policy": "Delete", "afterUnused": "24h"}


def test_at_rest_and_after_a_restart_nothing_is_written(stack: Stack, kubelet: Kubelet) -> None:
    serve(stack, kubelet)
    wait_for(lambda: not stack.list("jobs"), 20, "finished Jobs to be deleted")
    time.sleep(2)
    before = versions(stack)
    stack.stop(OPERATOR)
    start(stack)
    time.sleep(3)
    assert versions(stack) == before


UPGRADE = """
import dataclasses
from llama_operator.catalog import catalog
from llama_operator.planner import versions
from llama_operator.render import pod
pod.PRESTOP_SECONDS = 9
versions.default_image = lambda device: "example.com/vllm:v9.9.9"
old = catalog.load()
less = [dataclasses.replace(each, weights_bytes=each.weights_bytes * 2) for each in old]
catalog.load = lambda extra=None: catalog.Catalog(less)
"""


def test_an_upgraded_operator_restarts_no_server_until_the_spec_changes(
    stack: Stack, kubelet: Kubelet
) -> None:
    serve(stack, kubelet)
    pods = {pod["metadata"]["uid"] for pod in stack.list("pods", "default", *SERVERS)}
    template = stack.get("deployment", "web")["spec"]["template"]
    plan = stack.get("llama", "web")["status"]["plan"]
    (kept,) = children(stack, "controllerrevisions")
    label = "nvidia.com/gpu.count=4"
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "new", "labels": {}}}
    try:
        stack.stop(OPERATOR)
        start(stack, UPGRADE)
        stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(node))
        stack.cluster.kubectl("label", "node", "new", label, f"nvidia.com/gpu.product={H100}")
        stack.cluster.kubectl("scale", "llama/web", "--replicas=2")
        wait_for(lambda: stack.get("deployment", "web")["spec"]["replicas"] == 2, 15, "2 replicas")
        time.sleep(2)
        assert stack.get("deployment", "web")["spec"]["template"] == template
        assert stack.get("llama", "web")["status"]["plan"] == plan
        assert pods <= {pod["metadata"]["uid"] for pod in stack.list("pods", "default", *SERVERS)}
        assert children(stack, "controllerrevisions") == [kept]
        # The spec changes: now it is resolved anew, and told so.
        patch = json.dumps({"spec": {"podMetadata": {"annotations": {"roll": "1"}}}})
        stack.cluster.kubectl("patch", "llama", "web", "--type=merge", "-p", patch)
        wait_for(
            lambda: _image(stack) == "example.com/vllm:v9.9.9", 15, "the new version's template"
        )
        update = stack.get("llama", "web")["status"]["revision"]["update"]
        names = {each["metadata"]["name"] for each in children(stack, "controllerrevisions")}
        assert names == {kept["metadata"]["name"], update}
        # And back: the old spec is the old template again, whatever renders now.
        patch = json.dumps({"spec": {"podMetadata": {"annotations": None}}})
        stack.cluster.kubectl("patch", "llama", "web", "--type=merge", "-p", patch)
        wait_for(
            lambda: stack.get("deployment", "web")["spec"]["template"] == template,
            15,
            "the old one",
        )
    finally:
        stack.cluster.kubectl("delete", "node", "new", "--ignore-not-found")
        stack.stop(OPERATOR)
        start(stack)


def _image(stack: Stack) -> str:
    pod = stack.get("deployment", "web")["spec"]["template"]["spec"]
    return str(pod["containers"][0]["image"])


def test_an_edit_of_a_child_is_undone_and_a_deleted_child_made_again(
    stack: Stack, kubelet: Kubelet
) -> None:
    serve(stack, kubelet)
    stack.cluster.kubectl("scale", "deployment/web", "--replicas=5")
    wait_for(lambda: stack.get("deployment", "web")["spec"]["replicas"] == 1, 15, "1 replica again")
    patch = json.dumps({"spec": {"selector": {"app.kubernetes.io/component": "elsewhere"}}})
    stack.cluster.kubectl("patch", "service", "web", "-p", patch)
    wait_for(
        lambda: "server" in stack.get("service", "web")["spec"]["selector"].values(),
        15,
        "the selector",
    )
    stack.cluster.kubectl("delete", "networkpolicy", "web")
    wait_for(lambda: stack.list("networkpolicies"), 15, "the NetworkPolicy")


def test_scale_by_the_scale_subresource(stack: Stack, kubelet: Kubelet) -> None:
    serve(stack, kubelet)
    stack.cluster.kubectl("scale", "llama/web", "--replicas=2")
    wait_for(lambda: stack.get("deployment", "web")["spec"]["replicas"] == 2, 15, "2 replicas")
    assert stack.get("pdb", "web")["spec"]["maxUnavailable"] == 1
    stack.cluster.kubectl("scale", "llama/web", "--replicas=0")
    reaches(stack, "Ready", "ScaledToZero")


@pytest.mark.parametrize("kind", ["Deployment", "Service", "Secret"])
def test_a_strangers_object_of_the_same_name_is_left_alone(
    stack: Stack, kubelet: Kubelet, kind: str
) -> None:
    name = "web-api-key" if kind == "Secret" else "web"
    stranger = STRANGERS[kind]
    obj = {**stranger, "kind": kind, "metadata": {"name": name, "namespace": "default"}}
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(obj))
    before = stack.get(kind, name)
    try:
        apply(stack)
        if kind != "Secret":
            kubelet.end("app.kubernetes.io/component=preflight", {**ACCESSIBLE, "shape": SMOLLM2})
            kubelet.end("app.kubernetes.io/component=fetch", FETCHED)
        condition = reaches(stack, "Degraded", "ObjectNotOwned")
        assert f"{kind} {name}" in condition["message"]
        after = stack.get(kind, name)
        assert (after.get("spec"), after.get("data")) == (before.get("spec"), before.get("data"))
        assert "ownerReferences" not in after["metadata"]
    finally:
        stack.cluster.kubectl("delete", kind, name)


STRANGERS: dict[str, Object] = {
    "Secret": {"apiVersion": "v1", "stringData": {"mine": "x"}},
    "Service": {"apiVersion": "v1", "spec": {"ports": [{"port": 1}]}},
    "Deployment": {
        "apiVersion": "apps/v1",
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "x"}]},
            },
        },
    },
}

REFUSED: list[tuple[Object, str, str, str]] = [
    ({"model": "70b"}, "Planned", "UnknownModel", "llama-3.3-70b-instruct"),
    ({"gpu": {"product": H100, "count": 3}}, "Planned", "InvalidParallelism", "not divisible by 3"),
    ({"sizing": {"maxModelLen": 999999}}, "Planned", "ContextTooLong", "131,072"),
    ({"auth": {"secretName": "nope"}}, "Degraded", "SecretMissing", "there is no Secret 'nope'"),
    ({"weightsRef": {"name": "nope"}}, "WeightsReady", "NotFound", "'nope'"),
]


@pytest.mark.parametrize(("spec", "which", "reason", "words"), REFUSED)
def test_what_cannot_be_is_said_within_two_seconds_and_makes_no_child(
    stack: Stack, spec: Object, which: str, reason: str, words: str
) -> None:
    apply(stack, **spec)
    condition = reaches(stack, which, reason, seconds=2)
    assert words in condition["message"]
    assert not children(stack, "deployments,services,jobs,persistentvolumeclaims,llamaweights")


def test_a_storage_class_that_does_not_exist(stack: Stack, kubelet: Kubelet) -> None:
    apply(stack, storage={"storageClassName": "nope"})
    kubelet.end("app.kubernetes.io/component=preflight", {**ACCESSIBLE, "shape": SMOLLM2})
    name = weights_of(stack)
    condition = reaches(stack, "VolumeReady", "StorageClassMissing", name, "llamaweights")
    assert "standard" in condition["message"]
    assert not stack.list("persistentvolumeclaims")
    reaches(stack, "WeightsReady", "VolumeNotUsable")


def test_a_missing_token_is_noticed_when_it_comes(stack: Stack, kubelet: Kubelet) -> None:
    apply(stack, source={"huggingFace": {"tokenSecretRef": {"name": "hf"}}})
    name = weights_of(stack)
    reaches(stack, "Accessible", "SecretMissing", name, "llamaweights", seconds=3)
    assert not stack.list("jobs")
    stack.cluster.kubectl(
        "create", "secret", "generic", "hf", "--from-literal=token=hf_secretsecret"
    )
    try:
        kubelet.end("app.kubernetes.io/component=preflight", {**ACCESSIBLE, "shape": SMOLLM2})
        assert "hf_secretsecret" not in json.dumps(stack.list("jobs,pods,events")) + stack.log(
            OPERATOR
        )
    finally:
        stack.cluster.kubectl("delete", "secret", "hf")


def test_an_unknown_repository_is_planned_from_its_own_shape(
    stack: Stack, kubelet: Kubelet
) -> None:
    apply(stack, model="someone/nine-heads", gpu={"product": H100, "count": 2})
    reaches(stack, "Planned", "WaitingForShape")
    kubelet.end("app.kubernetes.io/component=preflight", {**ACCESSIBLE, "shape": SMOLLM2})
    condition = reaches(stack, "Planned", "InvalidParallelism")
    assert "9 attention heads are not divisible by 2" in condition["message"]


def test_two_deployments_share_one_copy(stack: Stack, kubelet: Kubelet) -> None:
    name = serve(stack, kubelet)
    apply(stack, "second", replicas=0)
    reaches(stack, "WeightsReady", "Ready", "second")
    assert weights_of(stack, "second") == name
    users = ["second", "web"]
    assert wait_for(
        lambda: stack.get("llamaweights", name)["status"]["usedBy"] == users, 10, "both users"
    )
    stack.cluster.kubectl("delete", "llamaweights", name, "--wait=false")
    time.sleep(1)
    assert stack.get("llamaweights", name)["metadata"]["deletionTimestamp"], (
        "held while it is in use"
    )
    stack.cluster.kubectl("delete", "llama", "second", "web")
    wait_for(lambda: not stack.list("llamaweights"), 20, "the copy to go with its last user")


def test_causes_of_pods_reach_the_conditions(stack: Stack, kubelet: Kubelet) -> None:
    apply(stack)
    kubelet.end("app.kubernetes.io/component=preflight", {**ACCESSIBLE, "shape": SMOLLM2})
    kubelet.end("app.kubernetes.io/component=fetch", FETCHED)
    with scheduling(stack):
        condition = reaches(stack, "Degraded", "Unschedulable")
    assert "no nodes available" in condition["message"]
    failed = 'MountVolume.SetUp failed for volume "weights": mount failed: exit status 32'
    kubelet.complain("app.kubernetes.io/component=server", "FailedMount", failed)
    condition = reaches(stack, "Degraded", "FailedMount")
    assert failed in condition["message"]
    kubelet.wait("app.kubernetes.io/component=server", "ErrImagePull")
    condition = reaches(stack, "Degraded", "ImagePullFailed")
    assert "vllm/vllm-openai" in condition["message"]
    assert reaches(stack, "Ready", "ImagePullFailed")["status"] == "False"


def test_a_quota_is_named(stack: Stack, kubelet: Kubelet) -> None:
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"},
        "spec": {"hard": {"requests.nvidia.com/gpu": "0"}},
    }  # fmt: skip
    stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(quota))
    try:
        apply(stack)
        kubelet.end("app.kubernetes.io/component=preflight", {**ACCESSIBLE, "shape": SMOLLM2})
        kubelet.end("app.kubernetes.io/component=fetch", FETCHED)
        condition = reaches(stack, "Degraded", "QuotaExceeded")
        assert "requests.nvidia.com/gpu" in condition["message"]
    finally:
        stack.cluster.kubectl("delete", "resourcequota", "q")


def test_the_operator_may_not_list_secrets_nor_write_a_spec(stack: Stack) -> None:
    account = "--as=system:serviceaccount:llama-system:llama-operator"
    for verb, what in (
        ("list", "secrets"), ("watch", "secrets"), ("delete", "secrets"), ("patch", "secrets"),
        ("patch", "llamadeployments"), ("update", "llamadeployments"), ("delete", "llamadeployments"),
        ("create", "pods"), ("create", "pods/exec"), ("create", "clusterroles"),
    ):  # fmt: skip
        with pytest.raises(ClusterError):
            stack.cluster.kubectl("auth", "can-i", verb, what, account, "--quiet")
    for verb in ("get", "create"):
        stack.cluster.kubectl("auth", "can-i", verb, "secrets", account, "--quiet")


FOUND: Object = {
    "ok": True, "commit": COMMIT, "bytes": 84_000_000, "files": 2, "format": "lora",
    "adapter": {
        "rank": 8, "base": "o/base", "layers": 30,
        "modules": [{"name": "q_proj", "inputs": 4096, "outputs": 4096}],
    },
}  # fmt: skip


def listed(stack: Stack) -> Object:
    data = stack.get("configmap", "web-adapters")["data"]
    return dict(json.loads(data["adapters.json"]))


def removals(stack: Stack) -> list[Object]:
    """The Jobs that remove the files of two adapters, once both are there."""
    found = [job for job in stack.list("jobs") if "-unload-" in job["metadata"]["name"]]
    return found if len(found) == 2 else []


def want(stack: Stack, *repos: str) -> None:
    wanted = [
        {"name": repo.partition("/")[2], "source": {"huggingFace": {"repo": repo}}}
        for repo in repos
    ]
    patch = json.dumps({"spec": {"adapters": wanted}})
    stack.cluster.kubectl("patch", "llama", "web", "--type=merge", "-p", patch)


def test_adapters_come_and_go_and_the_server_stays(stack: Stack, kubelet: Kubelet) -> None:
    serve(stack, kubelet, lora={"enabled": True})
    before = stack.get("deployment", "web")["metadata"]["generation"]
    assert listed(stack) == {}
    want(stack, "o/sql")
    kubelet.end("app.kubernetes.io/component=preflight", FOUND)
    kubelet.end("app.kubernetes.io/component=fetch", {**FOUND, "digest": DIGEST})
    wait_for(lambda: set(listed(stack)) == {"sql"}, 20, "the adapter to be listed")
    want(stack, "o/sql", "o/high")
    high = {**FOUND, "adapter": {**FOUND["adapter"], "rank": 64}}
    kubelet.end("app.kubernetes.io/component=preflight", high)
    said = reaches(stack, "Degraded", "AdapterFailed")["message"]
    assert said.startswith("spec.adapters[high]: its rank 64 is above spec.lora.maxRank 16")
    kubelet.end("app.kubernetes.io/component=fetch", {**high, "digest": DIGEST})
    want(stack)
    wait_for(lambda: listed(stack) == {}, 20, "the list to be empty")
    reaches(stack, "Degraded", "Healthy")
    # No kubelet gives its log, so the server has not said that it has unloaded the adapter.
    copies = ("llamaweights", "default", "-l", "llamactl.dev/deployment=web")
    assert stack.list(*copies)
    assert stack.get("deployment", "web")["metadata"]["generation"] == before
    stack.cluster.kubectl("scale", "llama/web", "--replicas=0")
    for job in wait_for(lambda: removals(stack), 20, "two Jobs"):
        kubelet.end(f"batch.kubernetes.io/job-name={job['metadata']['name']}", {})
    wait_for(lambda: not stack.list(*copies), 20, "the copies to be gone")
    wait_for(lambda: not stack.list("jobs"), 20, "the Job to be gone")
