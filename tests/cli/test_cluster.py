"""Against a real API server: deploy, its refusals, delete, and what RBAC and missing CRDs say."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from llama_operator.api import crd, labels
from tests.cli.conftest import Run
from tests.cli.objects import meta_url
from tests.support.cluster import Cluster
from tests.unit.diagnose.samples import DATA

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.control_plane(tmp_path_factory.mktemp("cp") / "state") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def installed(control_plane: Cluster) -> Cluster:
    text = "\n---\n".join(crd.to_yaml(each) for each in crd.all_crds())
    control_plane.kubectl("apply", "-f", "-", input=text)
    control_plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
    return control_plane


@pytest.fixture
def cluster(
    installed: Cluster, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """The cluster with the CRDs, and a namespace of the test's own as the default."""
    namespace = f"t{abs(hash(request.node.name)) % 10**8}"
    installed.kubectl("create", "namespace", namespace)
    monkeypatch.setenv("KUBECONFIG", str(_with_namespace(installed, namespace)))
    monkeypatch.setenv("TEST_NAMESPACE", namespace)
    yield installed
    installed.kubectl("delete", "namespace", namespace, "--wait=false")


def _with_namespace(cluster: Cluster, namespace: str) -> Path:
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    path = Path(cluster.kubeconfig).parent / f"kubeconfig-{namespace}"
    path.write_text(yaml.safe_dump(config))
    return path


def objects(cluster: Cluster, kind: str) -> list[dict[str, object]]:
    text = cluster.kubectl("get", kind, "-n", os.environ["TEST_NAMESPACE"], "-o", "json")
    return list(json.loads(text)["items"])


def test_no_crds(control_plane: Cluster, llamactl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    if "llamadeployments" in control_plane.kubectl("get", "crd", "-o", "name"):
        pytest.skip("the CRDs are there already: the tests ran in another order")
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    result = llamactl("deploy", "8b")
    assert result.exit_code == 1
    assert "this cluster has no LlamaDeployment API" in result.stderr
    assert "not installed" in llamactl("version").stdout
    made = llamactl("crds", "apply")
    assert made.exit_code == 0, made.output
    assert made.stdout.count(" created\n") == 2
    again = llamactl("crds", "apply")
    assert (again.stdout.count(" unchanged\n"), again.stderr) == (2, "")
    assert "v1alpha1" in llamactl("version").stdout


def test_deploy_writes_what_was_said_and_nothing_else(llamactl: Run, cluster: Cluster) -> None:
    result = llamactl("deploy", "70b", "--gpus", 8, "--no-wait")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "llamadeployment.llamactl.dev/llama-3-3-70b-instruct created\n"
    assert "70b -> llama-3.3-70b-instruct" in result.stderr
    (obj,) = objects(cluster, "llama")
    assert obj["spec"]["model"] == "llama-3.3-70b-instruct"  # type: ignore[index]
    fields = json.loads(
        cluster.kubectl(
            "get", "llama", "llama-3-3-70b-instruct", "-n", obj["metadata"]["namespace"],  # type: ignore[index]
            "-o", "json", "--show-managed-fields",
        )
    )["metadata"]["managedFields"]  # fmt: skip
    (ours,) = [f for f in fields if f["manager"] == "llamactl"]
    assert ours["operation"] == "Apply"
    assert set(ours["fieldsV1"]["f:spec"]) == {"f:model", "f:gpu"}


def test_the_same_command_again_changes_nothing(llamactl: Run, cluster: Cluster) -> None:
    llamactl("deploy", "8b", "--no-wait")
    (before,) = objects(cluster, "llama")
    result = llamactl("deploy", "8b", "--no-wait")
    assert result.stdout.endswith(" unchanged\n")
    assert objects(cluster, "llama") == [before]


def test_a_taken_name_is_kept_unless_overwritten(llamactl: Run, cluster: Cluster) -> None:
    llamactl("deploy", "8b", "--name", "mine", "--gpus", 1, "--no-wait")
    refused = llamactl("deploy", "8b", "--name", "mine", "--gpus", 2, "--no-wait")
    assert refused.exit_code == 1
    assert "spec.gpu.count: 1 -> 2" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert objects(cluster, "llama")[0]["spec"]["gpu"] == {"count": 1}  # type: ignore[index]
    changed = llamactl("deploy", "8b", "--name", "mine", "--gpus", 2, "--no-wait", "--overwrite")
    assert changed.stdout.endswith(" changed\n")
    assert objects(cluster, "llama")[0]["spec"]["gpu"] == {"count": 2}  # type: ignore[index]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["8b", "--set", "engine.args=[--model=x]"], 1, "spec.engine.args: this flag is set"),
        (["8b", "--set", "gpus.count=1"], 2, "spec has no field 'gpus'"),
        (["8b", "--set", "gpu.count=x"], 2, "not of type integer"),
        (["8b", "--set", "replicas"], 2, "has no ="),
        (["8b", "--gpus", "0"], 2, "--gpus"),
        (["8b", "--name", "8b"], 2, "--name: '8b'"),
        (["8b", "-n", "nowhere"], 1, "no namespace 'nowhere'"),
        (["71b"], 2, "Did you mean"),
        (["70b", "--gpu", "H100", "--gpus", "6"], 1, "64 attention heads are not divisible by 6"),
        (
            ["8b", "--hf-token-secret", "a", "--set", "source.meta.urlSecretRef.name=b"],
            1,
            "set one of huggingFace",
        ),
    ],
)
def test_a_refusal_leaves_nothing(
    llamactl: Run, cluster: Cluster, tmp_path: Path, args: list[str], code: int, words: str
) -> None:
    token = tmp_path / "token"
    token.write_text("hf_abc\n")
    more = [] if "--hf-token-secret" in args else ["--hf-token-file", str(token)]
    result = llamactl("deploy", *args, "--no-wait", *more)
    assert result.exit_code == code
    assert words in result.stderr
    assert objects(cluster, "llama") == []
    assert objects(cluster, "secret") == []


def test_a_token_file_becomes_a_secret_and_is_never_shown(
    llamactl: Run, cluster: Cluster, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("hf_very_secret\n")
    result = llamactl("deploy", "8b", "--no-wait", "--hf-token-file", token, "-o", "yaml")
    assert result.exit_code == 0
    assert "hf_very_secret" not in result.output
    (secret,) = objects(cluster, "secret")
    assert secret["metadata"]["name"] == "hf-token"  # type: ignore[index]
    assert secret["data"] == {"token": "aGZfdmVyeV9zZWNyZXQ="}
    assert yaml.safe_load(result.stdout)["kind"] == "LlamaDeployment"


def test_metas_url_becomes_a_secret_and_the_source(
    llamactl: Run, cluster: Cluster, tmp_path: Path
) -> None:
    mail = tmp_path / "url.txt"
    for text in (meta_url(), meta_url(seconds=7200)):  # the second is a new e-mail
        mail.write_text(f"{text}\n")
        result = llamactl("deploy", "8b", "--no-wait", "--meta-url-file", mail)
        assert result.exit_code == 0, result.stderr
        assert "very-secret" not in result.output
        (secret,) = objects(cluster, "secret")
        assert secret["metadata"]["name"] == "llama-3-1-8b-instruct-meta-url"  # type: ignore[index]
        stored = base64.b64decode(secret["data"]["url"]).decode()  # type: ignore[index]
        assert stored == text
    (made,) = objects(cluster, "llama")
    assert made["spec"]["source"]["meta"]["urlSecretRef"]["name"] == secret["metadata"]["name"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("model", "text", "words"),
    [
        ("8b", "https://example.com/", "lacks Policy"),
        ("8b", meta_url(seconds=-60), "expired at"),
        ("8b", meta_url("llama3-2.llamameta.net"), "is for Llama 3.2"),
        ("llama-3.1-405b-fp8", meta_url(), "meta-llama/Llama-3.1-405B-FP8"),
        ("org/own", meta_url(), "not in the catalogue"),
    ],
)
def test_a_url_of_no_use_is_refused_before_anything_is_sent(
    llamactl: Run, cluster: Cluster, tmp_path: Path, model: str, text: str, words: str
) -> None:
    mail = tmp_path / "url.txt"
    mail.write_text(text)
    result = llamactl("deploy", model, "--no-wait", "--meta-url-file", mail)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "very-secret" not in result.output
    assert objects(cluster, "llama") == []
    assert objects(cluster, "secret") == []


def test_dry_runs_write_nothing(llamactl: Run, cluster: Cluster) -> None:
    client = llamactl("deploy", "8b", "--gpu", "L4", "--dry-run=client")
    assert yaml.safe_load(client.stdout)["spec"]["gpu"] == {"product": "L4"}
    assert "Plan: tensor parallel 1 on 1 GPU NVIDIA-L4" in client.stderr
    server = llamactl("deploy", "8b", "--dry-run=server")
    assert "created (server dry run)" in server.stdout
    assert objects(cluster, "llama") == []


def test_not_ready_in_time_is_3(llamactl: Run, cluster: Cluster) -> None:
    result = llamactl("deploy", "8b", "--timeout", "1s")
    assert result.exit_code == 3
    assert "is not ready after 1s; it is at Plan" in result.stderr
    assert "llamactl status llama-3-1-8b-instruct" in result.stderr


def _status(cluster: Cluster, name: str, status: dict[str, object], kind: str = "llama") -> None:
    import os

    cluster.kubectl(
        "patch", kind, name, "-n", os.environ["TEST_NAMESPACE"], "--subresource=status",
        "--type=merge", "-p", json.dumps({"status": status}),
    )  # fmt: skip


def _condition(kind: str, status: str, reason: str, message: str, generation: int = 1) -> object:
    return {
        "type": kind, "status": status, "reason": reason, "message": message,
        "observedGeneration": generation, "lastTransitionTime": "2026-11-24T00:00:00Z",
    }  # fmt: skip


def test_a_plan_that_fails_ends_the_wait(llamactl: Run, cluster: Cluster) -> None:
    llamactl("deploy", "8b", "--name", "mine", "--no-wait")
    planned = _condition("Planned", "False", "InsufficientGPUMemory", "needs 2 GPUs more")
    _status(cluster, "mine", {"conditions": [planned]})
    result = llamactl("deploy", "8b", "--name", "mine", "--timeout", "60s")
    assert result.exit_code == 1
    assert "InsufficientGPUMemory: needs 2 GPUs more" in result.stderr


def test_ready_ends_the_wait_and_says_how_to_ask(llamactl: Run, cluster: Cluster) -> None:
    llamactl("deploy", "8b", "--name", "mine", "--no-wait")
    ready = _condition("Ready", "True", "Serving", "1 of 1 replicas answer")
    endpoint = {"url": "http://mine.n.svc:8000/v1", "secretName": "mine-api-key"}
    _status(cluster, "mine", {"conditions": [ready], "endpoint": endpoint})
    result = llamactl("deploy", "8b", "--name", "mine", "--timeout", "60s")
    assert result.exit_code == 0
    assert "Ready: http://mine.n.svc:8000/v1 (inside the cluster), API key in Secret" in (
        result.stderr
    )
    assert "llamactl chat mine" in result.stderr


def test_delete_asks_and_deletes(llamactl: Run, cluster: Cluster) -> None:
    llamactl("deploy", "8b", "--name", "mine", "--no-wait")
    asked = llamactl("delete", "mine")
    assert asked.exit_code == 2
    assert "--yes" in asked.stderr
    assert len(objects(cluster, "llama")) == 1
    # To wait would be for the garbage collector to hear of a kind this new: 12 s. The whole way has it.
    result = llamactl("delete", "mine", "--yes", "--no-wait")
    assert result.stdout == "llamadeployment.llamactl.dev/mine is being deleted\n"
    assert "Kept: nothing; no weights were fetched yet." in result.stderr
    assert objects(cluster, "llama") == []


def test_rbac_names_the_missing_rule(
    llamactl: Run, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    namespace = os.environ["TEST_NAMESPACE"]
    cluster.kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    config = cluster.service_account_kubeconfig(namespace, "nobody")
    result = llamactl("list", "--kubeconfig", config, "-n", namespace)
    assert result.exit_code == 1
    assert f'you may not list llamadeployments.llamactl.dev in namespace "{namespace}"' in (
        result.stderr
    )
    assert "verbs: [list]" in result.stderr


def test_a_wrong_token_is_401(llamactl: Run, cluster: Cluster, tmp_path: Path) -> None:
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    config["users"][0]["user"] = {"token": "wrong"}
    path = tmp_path / "wrong"
    path.write_text(yaml.safe_dump(config))
    result = llamactl("list", "--kubeconfig", path)
    assert result.exit_code == 1
    assert "does not accept your credentials (401)" in result.stderr


def test_scale_and_set_and_what_they_need(llamactl: Run, cluster: Cluster) -> None:
    llamactl("deploy", "8b", "--name", "mine", "--no-wait")
    result = llamactl("scale", "mine", "--replicas", 3)
    assert result.stdout.endswith(" scaled from 1 to 3\n"), result.output
    refused = llamactl("set", "mine", "gpu.count=2", "engine.args=[--model=x]")
    assert refused.exit_code == 1
    assert "spec.engine.args: this flag is set" in refused.stderr
    result = llamactl("set", "mine", "gpu.count=2")
    assert result.stdout.endswith(" changed\n"), result.output
    assert "  spec.gpu.count: not set -> 2\n" in result.stderr
    llamactl("set", "mine", "gpu.count-")
    spec: dict[str, object] = objects(cluster, "llama")[0]["spec"]  # type: ignore[assignment]
    assert (spec["replicas"], spec["gpu"]) == (3, {})
    dry = llamactl("scale", "mine", "--replicas", 9, "--dry-run=server")
    assert dry.stdout.endswith(" scaled from 3 to 9 (server dry run)\n")
    assert objects(cluster, "llama")[0]["spec"] == spec


def test_apply_twice_and_beside_another_manager(
    llamactl: Run, cluster: Cluster, tmp_path: Path
) -> None:
    path = tmp_path / "llama.yaml"
    path.write_text(llamactl("deploy", "8b", "--name", "mine", "--dry-run=client").stdout)
    assert llamactl("apply", "-f", path).stdout.endswith("mine created\n")
    assert llamactl("apply", "-f", path).stdout.endswith("mine unchanged\n")
    llamactl("set", "mine", "replicas=2")
    assert llamactl("apply", "-f", path).stdout.endswith("mine unchanged\n")
    path.write_text(path.read_text() + "  replicas: 5\n")
    refused = llamactl("apply", "-f", path)
    assert refused.exit_code == 1
    assert "has fields that somebody else set" in refused.stderr
    assert llamactl("apply", "-f", path, "--overwrite").stdout.endswith("mine changed\n")
    assert objects(cluster, "llama")[0]["spec"]["replicas"] == 5  # type: ignore[index]


def test_a_copy_is_added_verified_and_removed(llamactl: Run, cluster: Cluster) -> None:
    args = ("weights", "add", "8b", "--name", "mine", "--size", "40Gi")
    assert llamactl(*args).stdout == "llamaweights.llamactl.dev/mine created\n"
    assert llamactl(*args).stdout.endswith(" unchanged\n")
    assert "would change it" in llamactl(*args[:-1], "50Gi").stderr
    assert "is not complete yet" in llamactl("weights", "verify", "mine").stderr
    seen: dict[str, object] = {
        "digest": f"sha256:{'a' * 64}",
        "unusedSince": "2026-01-01T00:00:00Z",
    }
    _status(cluster, "mine", seen, "llamaweights")
    assert llamactl("weights", "verify", "mine").exit_code == 0
    assert llamactl("weights", "verify", "mine", "--schedule", "Daily").exit_code == 0
    (copy,) = objects(cluster, "llamaweights")
    assert "llamactl.dev/verify-at" in copy["metadata"]["annotations"]  # type: ignore[index]
    assert copy["spec"]["verify"] == {"schedule": "Daily"}  # type: ignore[index]
    assert "mine is being deleted" in llamactl("weights", "gc", "--yes").stdout
    assert objects(cluster, "llamaweights") == []


def test_list_shows_what_is_there(llamactl: Run, cluster: Cluster) -> None:
    assert "No deployments" in llamactl("list").stderr
    llamactl("deploy", "8b", "--name", "mine", "--no-wait")
    assert llamactl("list", "-o", "name").stdout == "llamadeployment.llamactl.dev/mine\n"
    assert json.loads(llamactl("list", "-o", "json").stdout)["items"][0]["kind"] == (
        "LlamaDeployment"
    )
    assert "mine" in llamactl("list", "-A").stdout


# -- doctor -------------------------------------------------------------------------------------


def crashed_pod(cluster: Cluster, name: str) -> None:
    """A server's pod that ended with vLLM's words for a context that does not fit."""
    namespace = os.environ["TEST_NAMESPACE"]
    meta = {"name": "p0", "namespace": namespace, "labels": {
        labels.DEPLOYMENT: name, labels.COMPONENT: labels.SERVER}}  # fmt: skip
    spec = {"containers": [{"name": "server", "image": "x"}], "nodeName": "no-such-node"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    cluster.kubectl("create", "-f", "-", input=json.dumps(pod))
    text = (DATA / "recorded" / "kv-cache-too-small.log").read_text()
    line = next(each for each in text.splitlines() if "estimated maximum model length" in each)
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": line[-2048:]}}
    state = {"name": "server", "ready": False, "restartCount": 0, "image": "x", "imageID": "",
             "state": ended, "lastState": {}}  # fmt: skip
    patch = json.dumps({"status": {"phase": "Running", "containerStatuses": [state]}})
    cluster.kubectl(
        "patch", "pod", "p0", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch
    )


def test_doctor_mends_a_spec_through_a_real_api_server(llamactl: Run, cluster: Cluster) -> None:
    assert llamactl("deploy", "8b", "--name", "sick", "--no-wait").exit_code == 0
    crashed_pod(cluster, "sick")
    found = llamactl("doctor", "sick", "-o", "json")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["cause"] == "InsufficientMemoryForContext"
    fixed = llamactl("doctor", "sick", "--fix", "--yes")
    assert fixed.exit_code == 0, fixed.stderr
    spec = objects(cluster, "llamadeployments")[0]["spec"]
    assert spec["sizing"]["maxModelLen"] == 1920  # type: ignore[index]
    assert "has this fix already" in llamactl("doctor", "sick", "--fix", "--yes").stderr


def test_doctor_looks_at_a_real_cluster(llamactl: Run, cluster: Cluster) -> None:
    result = llamactl("doctor", "cluster", "-o", "json")
    found = json.loads(result.stdout)
    states = {row["check"]: row["state"] for row in found["checks"]}
    # What the API server makes of a CRD still has the same fields.
    assert (states["CRD LlamaDeployment"], states["CRD LlamaWeights"]) == ("ok", "ok")
    assert (states["Operator"], states["Your rights"]) == ("bad", "ok")
    assert found["unread"] == []
    assert result.exit_code == 1
