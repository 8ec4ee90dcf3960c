"""The node of the local cluster runs pods as any node does, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support.cluster import Cluster
from tests.support.cluster.testing import (
    apply,
    assert_gone,
    can_run_pods,
    claim,
    eventually,
    finished,
    gpus,
    items,
    mounting,
    python_pod,
)

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.node,
    pytest.mark.skipif(
        not can_run_pods(), reason="no pods on this machine: python -m tests.support.cluster doctor"
    ),
]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.full(tmp_path_factory.mktemp("full"), gpus=8) as cluster:
        label = "pod-security.kubernetes.io/enforce=restricted"
        cluster.kubectl("label", "namespace", "default", label)
        yield cluster


def test_a_hardened_pod_runs_this_machines_python(full: Cluster) -> None:
    code = "import os, sys, kubernetes; print(os.getuid(), sys.version_info[:2]); open('/x', 'w')"
    apply(full, python_pod("hardened", f"try:\n {code}\nexcept OSError as e: print(e)"))
    output = finished(full, "hardened")
    assert f"12345 {sys.version_info[:2]}" in output
    assert "Read-only file system" in output


SERVER = """
import http.server
http.server.test(http.server.SimpleHTTPRequestHandler, port=8000)
"""
CLIENT = """
import pathlib, socket, ssl, urllib.request
print("service", urllib.request.urlopen("http://web.default.svc.cluster.local", timeout=10).status)
account = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
tls = ssl.create_default_context(cafile=str(account / "ca.crt"))
token = {"Authorization": "Bearer " + (account / "token").read_text()}
ask = urllib.request.Request("https://10.96.0.1/apis", headers=token)
print("api", urllib.request.urlopen(ask, context=tls, timeout=10).status)
try:
    socket.getaddrinfo("no-such-name.invalid", 80)
except socket.gaierror as problem:
    print("outside", problem.errno == socket.EAI_NONAME)
"""


def test_a_pod_reaches_services_and_the_api_server(full: Cluster) -> None:
    probe = {"httpGet": {"port": 8000, "path": "/"}, "periodSeconds": 1}
    ports = [{"port": 80, "targetPort": 8000}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    service["spec"] = {"selector": {"app": "web"}, "ports": ports}
    apply(full, service, python_pod("web", SERVER, container={"readinessProbe": probe}))
    full.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    apply(full, python_pod("client", CLIENT))
    assert finished(full, "client").split("\n")[:3] == ["service 200", "api 200", "outside True"]


def test_a_claim_keeps_data_until_it_is_deleted(full: Cluster) -> None:
    apply(full, claim("kept", "local"))
    first = "open('/data/f', 'w').write('written before'); print('done')"
    apply(full, python_pod("writer", first, **mounting("kept")))
    finished(full, "writer")
    full.kubectl("delete", "pod", "writer")
    apply(full, python_pod("reader", "print(open('/data/f').read())", **mounting("kept")))
    assert "written before" in finished(full, "reader")
    volume = full.kubectl("get", "pvc", "kept", "-o", "jsonpath={.spec.volumeName}")
    directory = full.directory / "volumes" / volume
    assert directory.is_dir()
    full.kubectl("delete", "pod/reader", "pvc/kept")
    eventually(lambda: not items(full, "pv"))
    assert not directory.exists()


def test_a_limited_volume_gets_full(full: Cluster) -> None:
    apply(full, claim("small", "local-limited", "4Mi"))
    write = "open('/data/f', 'wb').write(b'x' * 5_000_000)"
    code = f"try:\n {write}\nexcept OSError as e: print(e)"
    apply(full, python_pod("filler", code, **mounting("small")))
    assert "No space left on device" in finished(full, "filler")


def test_the_scheduler_counts_gpus(full: Cluster) -> None:
    code = "import os; print(len(os.environ['NVIDIA_VISIBLE_DEVICES'].split(',')), 'gpus')"
    apply(full, python_pod("gpus-8", code, container=gpus(8)))
    assert "8 gpus" in finished(full, "gpus-8")
    apply(full, python_pod("gpus-9", code, container=gpus(9)))
    path = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}"
    message = eventually(lambda: full.kubectl("get", "pod", "gpus-9", "-o", path))
    assert "Insufficient nvidia.com/gpu" in message
    assert full.kubectl("get", "pod", "gpus-9", "-o", "jsonpath={.status.phase}") == "Pending"


def test_a_restarted_kubelet_keeps_pods_and_gpus(full: Cluster) -> None:
    apply(full, python_pod("steady", "import time; time.sleep(600)"))
    full.kubectl("wait", "--for=condition=Ready", "pod/steady", "--timeout=60s")
    full.restart("kubelet")
    log = full.processes.log("device-plugin")
    eventually(lambda: log.read_text().count("registered 8 x nvidia.com/gpu") == 2)
    path = "jsonpath={.items[0].status.allocatable.nvidia\\.com/gpu}"
    eventually(lambda: full.kubectl("get", "nodes", "-o", path) == "8")
    running = json.loads(full.kubectl("get", "pod", "steady", "-o", "json"))["status"]
    assert running["phase"] == "Running"
    assert running["containerStatuses"][0]["restartCount"] == 0


def test_two_nodes_side_by_side_leave_nothing(full: Cluster, tmp_path: Path) -> None:
    before = (Path("/proc/mounts").read_text(), _host_rules())
    with Cluster.full(tmp_path / "second", gpus=1) as second:
        groups = partial(_groups, second.cgroup)
        apply(second, python_pod("there", "print('there')"))
        assert "there" in finished(second, "there")
        assert second.host_address != full.host_address
        interface = second.node_name
        assert _exists(interface)
        assert groups()
        directory = second.directory
    assert_gone(directory)
    assert not _exists(interface)
    assert not groups()
    assert (Path("/proc/mounts").read_text(), _host_rules()) == before
    assert "Ready" in full.kubectl("get", "nodes")


def _groups(name: str) -> list[Path]:
    # At the top in v2, one level down (a directory per controller) in v1.
    root = Path("/sys/fs/cgroup")
    return [*root.glob(name), *root.glob(f"*/{name}")]


def _exists(interface: str) -> bool:
    return Path(f"/sys/class/net/{interface}").exists()


def _host_rules() -> str:
    return subprocess.run(
        ["iptables-save"], capture_output=True, text=True, timeout=10, check=True
    ).stdout
