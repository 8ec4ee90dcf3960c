"""Progress of a fetch: lines in the log, and `status.progress` on a real API server."""

from __future__ import annotations

import base64
import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from tests.support.cluster import Cluster
from tests.support.cluster.ports import held
from tests.support.hub import Hub, parse_fault
from tests.support.hub.command import (
    MIB,
    Command,
    arguments,
    assert_complete,
    fetch,
    run,
    wait_for,
)
from tests.support.hub.sample import repository

from llama_weights.errors import UsageError
from llama_weights.meter import Meter
from llama_weights.report import Reporter

ACCOUNT = "small-fetch"


def test_a_log_gets_a_line_at_once_and_then_every_five_seconds(tmp_path: Path) -> None:
    with Hub([repository(8 * MIB)]) as hub:
        hub.faults.append(parse_fault(f"slow:on=cdn,rate={3 * MIB}"))
        outcome = fetch(hub, tmp_path / "d", "--max-bytes-per-second", str(3 * MIB))
        assert_complete(outcome, hub, tmp_path / "d")
    lines = [json.loads(line) for line in outcome.output.splitlines()]
    progress = [line for line in lines if line.get("event") == "progress"]
    assert 1 <= len(progress) <= 3
    assert progress[0]["bytesTotal"] > 16 * MIB
    done = [line["bytesDone"] for line in progress]
    assert done == sorted(done)
    assert 0 < progress[-1]["bytesPerSecond"] < 5 * MIB


@pytest.mark.parametrize("target", ["no-slash", "a/B", "../x/y", "a/b/c"])
def test_an_object_that_is_not_named(target: str) -> None:
    with pytest.raises(UsageError, match="--progress-object"):
        Reporter(target, Meter())


def test_outside_a_cluster_nothing_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    reporter = Reporter("default/small", Meter(1), tmp_path)
    reporter.report()
    assert reporter.failures == 0


def test_an_api_server_that_is_away_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "9")
    reporter = Reporter("default/small", Meter(1), tmp_path)
    reporter.report()
    assert reporter.failures == 1


@pytest.fixture
def account(api_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kubelet mounts into the Job's pod: an account with one right on one object."""
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": ACCOUNT},
            "rules": [
                {
                    "apiGroups": ["llamactl.dev"],
                    "resources": ["llamaweights/status"],
                    "resourceNames": ["small"],
                    "verbs": ["patch"],
                }
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": ACCOUNT},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": ACCOUNT,
            },
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": "default"}],
        },
        *(
            {
                "apiVersion": "llamactl.dev/v1alpha1",
                "kind": "LlamaWeights",
                "metadata": {"name": name},
                "spec": {"model": "org/tiny-llama"},
            }
            for name in ("small", "other")
        ),
    ]
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    api_cluster.kubectl("apply", "-n", "default", "-f", "-", input=json.dumps(listed))
    config = yaml.safe_load(api_cluster.service_account_kubeconfig("default", ACCOUNT).read_text())
    cluster = config["clusters"][0]["cluster"]
    (tmp_path / "ca.crt").write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    (tmp_path / "token").write_text(config["users"][0]["user"]["token"])
    server = urlsplit(cluster["server"])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(server.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    return tmp_path


@pytest.mark.cluster
def test_the_status_carries_the_progress_and_nothing_else_of_ours(
    api_cluster: Cluster, account: Path
) -> None:
    meter = Meter(1000)
    meter.add(250, resumed=True)
    reporter = Reporter("default/small", meter, account)
    reporter.report()

    text = api_cluster.kubectl(
        "get", "llamaweights", "small", "-o", "json", "--show-managed-fields"
    )
    found = json.loads(text)
    progress = found["status"]["progress"]
    assert reporter.failures == 0
    assert (progress["phase"], progress["bytesDone"], progress["bytesTotal"]) == (
        "Fetching",
        250,
        1000,
    )
    ours = [
        each for each in found["metadata"]["managedFields"] if each["manager"] == "llama-weights"
    ]
    assert [list(each["fieldsV1"]) for each in ours] == [["f:status"]]
    assert list(ours[0]["fieldsV1"]["f:status"]) == ["f:progress"]


@pytest.mark.cluster
def test_the_account_reaches_no_other_object(api_cluster: Cluster, account: Path) -> None:
    reporter = Reporter("default/other", Meter(1000), account)
    reporter.report()
    assert reporter.failures == 1
    found = json.loads(api_cluster.kubectl("get", "llamaweights", "other", "-o", "json"))
    assert "progress" not in found.get("status", {})


def test_a_scrape_shows_what_a_fetch_does(tmp_path: Path) -> None:
    with held(1) as (port,):
        pass
    faults = [parse_fault(each) for each in ("cut:on=cdn,times=2", f"slow:on=cdn,rate={MIB}")]
    with Hub([repository(4 * MIB)], faults=faults) as hub:
        running = Command(*arguments(hub, tmp_path / "d"), "--metrics-port", str(port))
        wait_for(lambda: hub.sent() > 4 * MIB)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        found = dict(line.split(" ") for line in text.splitlines() if not line.startswith("#"))
        assert 0 < float(found["llama_weights_done_bytes"]) < float(found["llama_weights_bytes"])
        assert 0 < float(found["llama_weights_fetched_bytes"]) <= hub.sent()
        assert float(found["llama_weights_bytes_per_second"]) > 0
        assert float(found["llama_weights_eta_seconds"]) > 0
        assert found["llama_weights_retries"] == "2.0"
        assert found['llama_weights_phase{phase="Fetching"}'] == "1.0"
        hub.faults.clear()
        assert running.wait().code == 0


def test_a_port_that_is_taken(hub: Hub, tmp_path: Path) -> None:
    outcome = run(*arguments(hub, tmp_path / "d"), "--metrics-port", str(hub.port))
    assert outcome.code == 2
    assert "--metrics-port" in outcome.result["message"]
