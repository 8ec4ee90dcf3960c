"""llamactl and a deployment that KServe serves: where its pods' maker is looked for, and what is shown."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import DEPLOYMENTS, Run
from tests.cli.fake_api import Fake
from tests.cli.objects import deployment

MINE = f"{DEPLOYMENTS}/my-llama"
MADE = "/apis/apps/v1/namespaces/n/deployments"
SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/n/inferenceservices"
LLM_SERVICES = "/apis/serving.kserve.io/v1alpha2/namespaces/n/llminferenceservices"
LLM = {"resource": "LLMInferenceService"}
QUOTA = 'pods "my-llama-predictor-x7" is forbidden: exceeded quota: gpus'
# What a bundle asks of any cluster.
BARE: dict[str, Any] = {
    "/version": {"gitVersion": "v1.36.3"},
    "/apis": {"groups": []},
    "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews": {"status": {}},
}
REFUSED = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": QUOTA}]}


def served(backend: str, **spec: Any) -> dict[str, Any]:
    endpoint = {
        "url": "http://my-llama.n.svc:8000/v1",
        "externalURL": "http://my-llama-n.example.com/v1",
    }
    return deployment(
        spec={"backend": backend, **spec}, status={"endpoint": endpoint, "observedGeneration": 1}
    )


def test_deploy_writes_the_back_end_only_where_it_is_asked_for(llamactl: Run) -> None:
    for args, backend in (([], None), (["--backend", "kserve"], "kserve")):
        text = llamactl("deploy", "8b", *args, "--dry-run=client").stdout
        assert yaml.safe_load(text)["spec"].get("backend") == backend
    assert llamactl("deploy", "8b", "--backend", "knative", "--dry-run=client").exit_code == 2


def test_status_shows_both_addresses(llamactl: Run, api: Fake) -> None:
    api.put(MINE, served("kserve"))
    text = llamactl("status", "my-llama").stdout
    assert "http://my-llama.n.svc:8000/v1" in text
    assert "External: http://my-llama-n.example.com/v1" in " ".join(text.split())


@pytest.mark.parametrize(
    ("backend", "kserve", "name", "told"),
    [
        ("kserve", {}, "my-llama-predictor", True),
        ("kserve", LLM, "my-llama-kserve", True),
        ("kserve", LLM, "my-llama-predictor", False),
        ("native", {}, "my-llama-predictor", False),
    ],
)
def test_doctor_asks_the_deployment_that_kserve_made(
    llamactl: Run, api: Fake, backend: str, kserve: dict[str, str], name: str, told: bool
) -> None:
    api.put(MINE, served(backend, kserve=kserve))
    made = {"kind": "Deployment", "metadata": {"name": name, "namespace": "n"}, "status": REFUSED}
    api.put(f"{MADE}/{name}", made)
    found = json.loads(llamactl("doctor", "my-llama", "-o", "json").stdout)
    assert (found["cause"] == "QuotaExceeded") is told


@pytest.mark.parametrize(
    ("kserve", "place", "file"),
    [
        ({}, SERVICES, "objects/inferenceservice-my-llama.yaml"),
        (LLM, LLM_SERVICES, "objects/llminferenceservice-my-llama.yaml"),
    ],
)
def test_a_support_bundle_has_what_kserve_was_given(
    llamactl: Run, api: Fake, tmp_path: Path, kserve: dict[str, str], place: str, file: str
) -> None:
    api.put(MINE, served("kserve", kserve=kserve))
    service = {"metadata": {"name": "my-llama", "namespace": "n"}, "status": {"url": "http://x"}}
    api.put(f"{place}/my-llama", service)
    for path_of, answer in BARE.items():
        api.put(path_of, answer)
    path = tmp_path / "bundle.tar.gz"
    done = llamactl("support-bundle", "my-llama", "--to", path)
    assert done.exit_code == 0, done.stderr
    with tarfile.open(path) as tar:
        names = [name.partition("/")[2] for name in tar.getnames()]
    assert file in names
