"""The local cluster is a real one, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import Cluster, ClusterError, registry, versions
from tests.support.cluster.doctor import missing, node
from tests.support.cluster.paths import PROJECT

pytestmark = pytest.mark.cluster
CAN_RUN_PODS = os.geteuid() == 0 and not missing() and all(finding.well for finding in node())
needs_node = pytest.mark.skipif(
    not CAN_RUN_PODS, reason="no pods on this machine: python -m tests.support.cluster doctor"
)
PYTHON_IMAGE = "local/llama-weights:dev"


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.control_plane(tmp_path_factory.mktemp("control-plane")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.full(tmp_path_factory.mktemp("full"), gpus=8) as cluster:
        label = "pod-security.kubernetes.io/enforce=restricted"
        cluster.kubectl("label", "namespace", "default", label)
        yield cluster


def eventually(check: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true value of `check`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.1)
    return value


def items(cluster: Cluster, *what: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(cluster.kubectl("get", *what, "-o", "json"))["items"]
    return listed


def apply(cluster: Cluster, *objects: dict[str, Any]) -> None:
    wrapped = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(wrapped))


# --- control plane


def test_the_server_is_the_pinned_version(control_plane: Cluster) -> None:
    answer = json.loads(control_plane.kubectl("get", "--raw", "/version"))
    assert answer["gitVersion"] == versions.kubernetes()


def test_a_service_account_may_do_only_what_rbac_grants(control_plane: Cluster) -> None:
    run = control_plane.kubectl
    run("create", "serviceaccount", "reader")
    run("create", "role", "reader", "--verb=list", "--resource=configmaps")
    run("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader")
    config = control_plane.service_account_kubeconfig("default", "reader")
    assert config.stat().st_mode & 0o077 == 0
    allowed = eventually(lambda: _tries(run, config, "get", "configmaps"))
    assert "kube-root-ca.crt" in allowed
    with pytest.raises(ClusterError, match=r"system:serviceaccount:default:reader.*cannot list"):
        run("--kubeconfig", str(config), "get", "secrets")
    with pytest.raises(ClusterError, match="cannot list"):
        run("--kubeconfig", str(config), "get", "configmaps", "-n", "kube-system")


def _tries(run: Callable[..., str], config: Path, *args: str) -> str:
    # A role binding reaches the authoriser's cache a moment after it was created.
    try:
        return run("--kubeconfig", str(config), *args)
    except ClusterError:
        return ""


def test_controllers_create_and_collect_children(control_plane: Cluster) -> None:
    control_plane.kubectl("create", "deployment", "children", "--image=none/none", "--replicas=2")
    selected = ("pods", "-l", "app=children")
    eventually(lambda: len(items(control_plane, *selected)) == 2)
    control_plane.kubectl("delete", "deployment", "children")
    eventually(lambda: not items(control_plane, *selected))
    eventually(lambda: not items(control_plane, "replicasets", "-l", "app=children"))


def test_two_control_planes_side_by_side(control_plane: Cluster, tmp_path: Path) -> None:
    with Cluster.control_plane(tmp_path / "second") as second:
        second.kubectl("create", "namespace", "only-here")
        assert second.server != control_plane.server
        assert "namespace/only-here" in second.kubectl("get", "namespaces", "-o", "name")
        assert "only-here" not in control_plane.kubectl("get", "namespaces", "-o", "name")
        # The keys of one open nothing at the other.
        with pytest.raises(ClusterError, match="certificate"):
            second.kubectl("--server", control_plane.server, "get", "namespaces")


def test_a_killed_api_server_keeps_its_data(tmp_path: Path) -> None:
    audit = tmp_path / "audit.log"
    with Cluster.control_plane(tmp_path / "cluster", audit_log=audit) as cluster:
        cluster.kubectl("create", "configmap", "kept")
        before = cluster.processes.identity("kube-apiserver")
        cluster.restart("kube-apiserver")
        assert cluster.processes.identity("kube-apiserver") != before
        config = cluster.kubeconfig
        eventually(lambda: _tries(cluster.kubectl, config, "get", "configmap", "kept"))
        assert '"resource":"configmaps"' in audit.read_text()


def test_stop_leaves_nothing(tmp_path: Path) -> None:
    cluster = Cluster.control_plane(tmp_path / "cluster")
    cluster.start()
    assert len(_mentioning(cluster.directory)) == 4
    cluster.stop()
    _assert_gone(cluster.directory)
    cluster.stop()


def test_a_directory_in_use_is_refused(control_plane: Cluster) -> None:
    with pytest.raises(ClusterError, match="is not empty.*down --dir"):
        Cluster.control_plane(control_plane.directory).start()
    assert "default" in control_plane.kubectl("get", "namespaces", "-o", "name")


def test_a_reused_pid_is_not_killed(tmp_path: Path) -> None:
    cluster = Cluster.control_plane(tmp_path / "cluster")
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as bystander:
        try:
            identity = {"pid": bystander.pid, "started": 1, "boot": "another"}
            record = {"identity": identity, "argv": ["sleep"], "env": []}
            (cluster.directory / "run").mkdir(parents=True)
            (cluster.directory / "run" / "sleep.json").write_text(json.dumps(record))
            cluster.stop()
            assert bystander.poll() is None
        finally:
            bystander.kill()


OWNER = """
import os, pathlib, signal, sys
from tests.support.cluster import Cluster
kind, directory = sys.argv[1:]
getattr(Cluster, kind)(pathlib.Path(directory)).start()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    "kind", ["control_plane", pytest.param("full", marks=[needs_node, pytest.mark.node])]
)
def test_what_a_killed_owner_left_is_ended(kind: str, tmp_path: Path) -> None:
    directory = tmp_path / "cluster"
    argv = [sys.executable, "-c", OWNER, kind, str(directory)]
    done = subprocess.run(argv, cwd=PROJECT, timeout=240, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(_mentioning(directory)) >= 4
    assert directory in list(registry.orphans())
    command = [sys.executable, "-m", "tests.support.cluster", "down", "--orphans"]
    subprocess.run(command, cwd=PROJECT, timeout=60, check=True)
    _assert_gone(directory)


def _mentioning(directory: Path) -> list[str]:
    """Command lines of running processes that name the directory."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in text and file.parent.name != str(os.getpid()):
            found.append(text)
    return found


def _assert_gone(directory: Path) -> None:
    assert not directory.exists()
    eventually(lambda: not _mentioning(directory), 5)
    assert str(directory) not in Path("/proc/mounts").read_text()
    assert directory not in list(registry.orphans())


# --- node

HARDENED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def python_pod(name: str, code: str, **spec: Any) -> dict[str, Any]:
    """A pod that Pod Security `restricted` admits, running Python code of this machine."""
    container = {
        "name": "main",
        "image": PYTHON_IMAGE,
        "command": ["python", "-u", "-c", code],
        "securityContext": HARDENED,
        **spec.pop("container", {}),
    }
    security = {"runAsNonRoot": True, "runAsUser": 12345, "runAsGroup": 12345, "fsGroup": 12345}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "runtimeClassName": "host-python",
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {**security, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            **spec,
        },
    }


def finished(cluster: Cluster, name: str) -> str:
    """Output of a pod that has ended well."""

    def phase() -> str:
        seen = cluster.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}")
        return seen if seen in {"Succeeded", "Failed"} else ""

    ended = eventually(phase, 60)
    output = cluster.kubectl("logs", name)
    assert ended == "Succeeded", output
    return output


@needs_node
@pytest.mark.node
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


@needs_node
@pytest.mark.node
def test_a_pod_reaches_services_and_the_api_server(full: Cluster) -> None:
    probe = {"httpGet": {"port": 8000, "path": "/"}, "periodSeconds": 1}
    ports = [{"port": 80, "targetPort": 8000}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    service["spec"] = {"selector": {"app": "web"}, "ports": ports}
    apply(full, service, python_pod("web", SERVER, container={"readinessProbe": probe}))
    full.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    apply(full, python_pod("client", CLIENT))
    assert finished(full, "client").split("\n")[:3] == ["service 200", "api 200", "outside True"]


@needs_node
@pytest.mark.node
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


@needs_node
@pytest.mark.node
def test_a_limited_volume_gets_full(full: Cluster) -> None:
    apply(full, claim("small", "local-limited", "4Mi"))
    write = "open('/data/f', 'wb').write(b'x' * 5_000_000)"
    code = f"try:\n {write}\nexcept OSError as e: print(e)"
    apply(full, python_pod("filler", code, **mounting("small")))
    assert "No space left on device" in finished(full, "filler")


def claim(name: str, storage_class: str, size: str = "10Mi") -> dict[str, Any]:
    spec = {"storageClassName": storage_class, "accessModes": ["ReadWriteOnce"]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {**spec, "resources": {"requests": {"storage": size}}},
    }


def mounting(name: str) -> dict[str, Any]:
    return {
        "container": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}],
    }


@needs_node
@pytest.mark.node
def test_the_scheduler_counts_gpus(full: Cluster) -> None:
    code = "import os; print(len(os.environ['NVIDIA_VISIBLE_DEVICES'].split(',')), 'gpus')"
    apply(full, python_pod("gpus-8", code, container=gpus(8)))
    assert "8 gpus" in finished(full, "gpus-8")
    apply(full, python_pod("gpus-9", code, container=gpus(9)))
    path = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}"
    message = eventually(lambda: full.kubectl("get", "pod", "gpus-9", "-o", path))
    assert "Insufficient nvidia.com/gpu" in message
    assert full.kubectl("get", "pod", "gpus-9", "-o", "jsonpath={.status.phase}") == "Pending"


def gpus(count: int) -> dict[str, Any]:
    return {"resources": {"limits": {"nvidia.com/gpu": count}}}


@needs_node
@pytest.mark.node
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


@needs_node
@pytest.mark.node
def test_two_nodes_side_by_side_leave_nothing(full: Cluster, tmp_path: Path) -> None:
    before = (Path("/proc/mounts").read_text(), _host_rules())
    with Cluster.full(tmp_path / "second", gpus=1) as second:
        apply(second, python_pod("there", "print('there')"))
        assert "there" in finished(second, "there")
        assert second.host_address != full.host_address
        interface = second.node_name
        assert _exists(interface)
        directory = second.directory
    _assert_gone(directory)
    assert not _exists(interface)
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{interface}"))
    assert (Path("/proc/mounts").read_text(), _host_rules()) == before
    assert "Ready" in full.kubectl("get", "nodes")


def _exists(interface: str) -> bool:
    return Path(f"/sys/class/net/{interface}").exists()


def _host_rules() -> str:
    return subprocess.run(
        ["iptables-save"], capture_output=True, text=True, timeout=10, check=True
    ).stdout
