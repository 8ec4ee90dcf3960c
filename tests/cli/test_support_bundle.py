"""`llamactl support-bundle`: what is needed is in it, and no planted secret is."""

from __future__ import annotations

import base64
import json
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from llama_operator.api import labels
from llamactl.redact import MARK, Redactor
from tests.cli.conftest import DEPLOYMENTS, PODS, SECRETS, WEIGHTS, Run
from tests.cli.fake_api import Answer, Fake, status
from tests.cli.objects import pod, ready, secret, weights

Object = dict[str, Any]

# Looks like nothing: only who has read the Secret can take it out.
KEY = "orchid-meadow-seventy"
HF = "hf_" + "AbCdEfGh12345678"
SIGNATURE = "Kx7~QwErTyUiOpAsDf-GhJk__"
SIGNED = (
    f"https://download.example.net/8b/*?Policy=eyJTdGF0ZW1lbnQiOlt7&Signature={SIGNATURE}"
    "&Key-Pair-Id=K15QRJLYKIFSLZ"
)
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJlLWhlcmU"
ARGUMENT, PASSWORD, PROXY = "walnut-forest-nine", "hunter2-hunter2", "proxyuser:proxypass9"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA75\n-----END RSA PRIVATE KEY-----"
UNNAMED = "lilac-harbour-twelve"
PLANTED = (
    KEY, HF, SIGNATURE, "eyJTdGF0ZW1lbnQiOlt7", "K15QRJLYKIFSLZ", JWT, ARGUMENT, PASSWORD, PROXY,
    "MIIEowIBAAKCAQEA75", UNNAMED, base64.b64encode(KEY.encode()).decode(), quote(SIGNED, safe=""),
)  # fmt: skip

LOG = f"""\
INFO 11-25 10:00:00 [api_utils.py:286] non-default args: {{'api_key': ['{KEY}'], 'max_num_batched_tokens': 8192}}
DEBUG headers: {{"Authorization": "Bearer {KEY}", "cookie": "x"}}
DEBUG HF_TOKEN={HF} HTTPS_PROXY=http://{PROXY}@proxy:3128
client used {KEY} and {base64.b64encode(KEY.encode()).decode()}
GET {SIGNED} 403
redirect to https://cdn.example.net/get?next={quote(SIGNED, safe="")}
{{"message": "login", "password": "{PASSWORD}", "kube": "{JWT}"}}
{PEM}
vllm serve /models/x --api-key {ARGUMENT} --tokenizer /models/x --max-num-batched-tokens 8192
INFO sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 verified, 812 tokens/s
"""
KEPT = (
    "'max_num_batched_tokens': 8192", "--tokenizer /models/x",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "812 tokens/s",
    "--max-num-batched-tokens 8192",
)  # fmt: skip


def deployment() -> Object:
    env = [{"name": "HF_TOKEN", "value": HF}, {"name": "MY_PASSWORD", "value": UNNAMED},
           {"name": "OMP_NUM_THREADS", "value": "4"}]  # fmt: skip
    spec = {
        "engine": {"env": env, "args": ["--api-key", ARGUMENT, "--max-num-seqs", "16"]},
        "source": {"meta": {"urlSecretRef": {"name": "meta-url"}}},
    }
    found = ready(spec=spec, status={"observedGeneration": 1, "weights": {"name": "w"}})
    found["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": spec})
    }
    found["status"]["conditions"][0]["message"] = f"{SIGNED} was refused"
    return found


@pytest.fixture
def cluster(api: Fake) -> Fake:
    api.put(f"{DEPLOYMENTS}/my-llama", deployment())
    copy = weights("w", status={"claimName": "w"})
    copy["spec"]["source"] = {"url": SIGNED}
    api.put(f"{WEIGHTS}/w", copy)
    server = pod()
    server["spec"]["containers"] = [{
        "name": "server", "args": [f"--api-key={ARGUMENT}"],
        "env": [{"name": "VLLM_API_KEY", "value": UNNAMED},
                {"name": "X", "valueFrom": {"secretKeyRef": {"name": "my-llama-api-key", "key": "default"}}}],
    }]  # fmt: skip
    server["status"]["containerStatuses"][0] |= {"name": "server", "restartCount": 1}
    server["metadata"]["annotations"] = {labels.GUARD: "def guard(): ..."}
    api.put(f"{PODS}/my-llama-0", server)
    api.put(f"{SECRETS}/my-llama-api-key", secret(KEY))
    api.put(f"{SECRETS}/meta-url", secret(SIGNED, "url"))
    api.put("/api/v1/namespaces/n/persistentvolumeclaims/w", {"metadata": {"name": "w"}})
    event = {"reason": "Failed", "message": f"fetch of {SIGNED}", "metadata": {"name": "e"},
             "involvedObject": {"kind": "Pod", "name": "my-llama-0"}}  # fmt: skip
    api.put("/api/v1/namespaces/n/events/e", event)
    operator = {"metadata": {"name": "llama-operator", "namespace": "sys"}, "status": {}}
    api.put("/apis/apps/v1/deployments/llama-operator", operator)
    api.put("/api/v1/namespaces/sys/pods/op-0", server | {"metadata": {"name": "op-0"}})
    api.put("/version", {"gitVersion": "v1.36.3"})
    api.put("/apis", {"groups": []})
    api.put("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"status": {}})
    api.rules.append(lambda *call: (200, LOG) if call[2].endswith("/log") else None)
    return api


def bundle(llamactl: Run, to: Path) -> dict[str, str]:
    result = llamactl("support-bundle", "my-llama", "--to", to)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{to}\n"
    with tarfile.open(to) as tar:
        found = {entry.name: tar.extractfile(entry) for entry in tar}
        return {name: file.read().decode() for name, file in found.items() if file}


def test_no_planted_secret_is_in_it(llamactl: Run, cluster: Fake, tmp_path: Path) -> None:
    files = bundle(llamactl, tmp_path / "b.tar.gz")
    whole = "\n".join(f"{name}\n{text}" for name, text in files.items())
    assert [each for each in PLANTED if each in whole] == []
    assert MARK in whole


def test_the_guards_source_is_not_repeated(llamactl: Run, cluster: Fake, tmp_path: Path) -> None:
    files = bundle(llamactl, tmp_path / "b.tar.gz")
    (server,) = [text for name, text in files.items() if name.endswith("pod-my-llama-0.yaml")]
    assert "llamactl.dev/guard: <llama_guard.py, 16 characters>" in server


def test_what_is_needed_is_in_it(llamactl: Run, cluster: Fake, tmp_path: Path) -> None:
    files = bundle(llamactl, tmp_path / "b.tar.gz")
    names = {name.removeprefix("my-llama-support/") for name in files}
    assert {
        "README.txt", "versions.yaml", "doctor.yaml", "cluster.yaml", "events.yaml",
        "objects/llamadeployment-my-llama.yaml", "objects/llamaweights-w.yaml",
        "objects/pod-my-llama-0.yaml", "objects/persistentvolumeclaim-w.yaml",
        "logs/my-llama-0/server.log", "logs/my-llama-0/server.previous.log",
        "operator/op-0/server.log",
    } <= names  # fmt: skip
    assert not any("secret" in name for name in names)
    log = files["my-llama-support/logs/my-llama-0/server.log"]
    assert [each for each in KEPT if each not in log] == []
    assert len(log.splitlines()) == len(LOG.splitlines()) - 2  # the key of three lines is one mark
    spec = yaml.safe_load(files["my-llama-support/objects/llamadeployment-my-llama.yaml"])["spec"]
    assert spec["engine"]["args"] == ["--api-key", MARK, "--max-num-seqs", "16"]
    assert spec["engine"]["env"][2] == {"name": "OMP_NUM_THREADS", "value": "4"}
    assert spec["source"]["meta"]["urlSecretRef"]["name"] == "meta-url"
    assert "v1.36.3" in files["my-llama-support/versions.yaml"]


def test_ways_in_are_in_it_where_the_cluster_has_their_kinds(
    llamactl: Run, cluster: Fake, tmp_path: Path
) -> None:
    route = {"metadata": {"name": "my-llama"}, "spec": {}}
    kinds = "/apis/gateway.networking.k8s.io/v1/namespaces/n/httproutes"
    cluster.put(f"{kinds}/my-llama", route)
    bundle(llamactl, tmp_path / "without.tar.gz")
    assert not [path for _, path in cluster.asked if path.startswith(kinds)]
    version = {"version": "v1"}
    cluster.put("/apis", {"groups": [{"name": "gateway.networking.k8s.io", "versions": [version]}]})
    files = bundle(llamactl, tmp_path / "with.tar.gz")
    assert "my-llama-support/objects/httproute-my-llama.yaml" in files


def test_what_makes_groups_is_in_it(llamactl: Run, cluster: Fake, tmp_path: Path) -> None:
    several = deployment()
    several["status"]["plan"] = {"nodes": 2}
    cluster.put(f"{DEPLOYMENTS}/my-llama", several)
    sets = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/n/leaderworkersets"
    cluster.put(f"{sets}/my-llama", {"metadata": {"name": "my-llama"}, "spec": {"replicas": 3}})
    files = bundle(llamactl, tmp_path / "b.tar.gz")
    found = yaml.safe_load(files["my-llama-support/objects/leaderworkerset-my-llama.yaml"])
    assert found["spec"]["replicas"] == 3


def test_without_the_right_to_secrets_what_looks_like_one_is_still_hidden(
    llamactl: Run, cluster: Fake, tmp_path: Path
) -> None:
    def forbid(fake: Fake, method: str, path: str, body: Object) -> Answer | None:
        refusal = status(403, "Forbidden", 'User "u" cannot get secrets')
        return (403, refusal) if path.startswith(SECRETS) else None

    cluster.rules.insert(0, forbid)
    files = bundle(llamactl, tmp_path / "b.tar.gz")
    whole = "\n".join(files.values())
    shapeless = (KEY, base64.b64encode(KEY.encode()).decode())
    assert [each for each in PLANTED if each in whole and each not in shapeless] == []
    assert "resources: [secrets], verbs: [get]" in files["my-llama-support/README.txt"]


def test_the_file_is_private_and_never_overwritten(
    llamactl: Run, cluster: Fake, tmp_path: Path
) -> None:
    to = tmp_path / "b.tar.gz"
    bundle(llamactl, to)
    assert to.stat().st_mode & 0o777 == 0o600
    before = to.read_bytes()
    result = llamactl("support-bundle", "my-llama", "--to", to)
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert to.read_bytes() == before


def test_its_default_name_is_in_this_folder(
    llamactl: Run, cluster: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = llamactl("support-bundle", "my-llama")
    assert result.stdout == "my-llama-support.tar.gz\n"
    assert (tmp_path / "my-llama-support.tar.gz").is_file()


def test_no_such_deployment_writes_no_file(llamactl: Run, api: Fake, tmp_path: Path) -> None:
    to = tmp_path / "b.tar.gz"
    assert llamactl("support-bundle", "nope", "--to", to).exit_code == 1
    assert not to.exists()


@pytest.mark.parametrize(
    "text",
    [
        "max_num_batched_tokens=8192", "tokenizer=/models/x", "eos_token_id: 128001",
        "Secret my-llama-api-key is missing", "http://my-llama.n.svc:8000/v1", "1.5 tokens/s",
        "basic settings", "asia-southeast1-b",
        "https://example.net/docs#token", "spec.source.huggingFace.tokenSecretRef",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_a_secret_object_keeps_its_entries_only() -> None:
    found = Redactor().object({"kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "MQ=="}})
    assert found == {"kind": "Secret", "metadata": {"name": "x"}, "data": {"a": MARK}}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"GET {SIGNED}", f"GET https://download.example.net/8b/*?{MARK}"),
        (f"['--api-key', '{ARGUMENT}', '--port']", f"['--api-key', '{MARK}', '--port']"),
        (f'{{\\"name\\":\\"A_TOKEN\\",\\"value\\":\\"{UNNAMED}\\"}}',
         f'{{\\"name\\":\\"A_TOKEN\\",\\"value\\":\\"{MARK}\\"}}'),
        (f"Authorization: Basic {UNNAMED}", f"Authorization: Basic {MARK}"),
        (f"http://{PROXY}@proxy:3128", f"http://{MARK}@proxy:3128"),
        (f"{PEM[:45]}", MARK),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_hidden_and_the_rest_stays(text: str, wanted: str) -> None:
    assert Redactor().text(text) == wanted


def test_it_counts() -> None:
    redactor = Redactor([KEY])
    redactor.text(f"{KEY} {HF}")
    redactor.object({"password": "abc"})
    assert redactor.count == 3
