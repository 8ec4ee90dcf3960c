"""The local cluster is a real one, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.cluster import Cluster, ClusterError, registry, versions
from tests.support.cluster.paths import PROJECT
from tests.support.cluster.testing import (
    assert_gone,
    can_run_pods,
    eventually,
    items,
    mentioning,
)

pytestmark = pytest.mark.cluster
needs_node = pytest.mark.skipif(
    not can_run_pods(), reason="no pods on this machine: python -m tests.support.cluster doctor"
)


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.control_plane(tmp_path_factory.mktemp("control-plane")) as cluster:
        yield cluster


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
    assert len(mentioning(cluster.directory)) == 4
    assert cluster.directory in registry.known()
    cluster.stop()
    assert_gone(cluster.directory)
    cluster.stop()


def test_a_directory_in_use_is_refused(control_plane: Cluster) -> None:
    with pytest.raises(ClusterError, match=r"is not empty.*down --dir"):
        Cluster.control_plane(control_plane.directory).start()
    assert "default" in control_plane.kubectl("get", "namespaces", "-o", "name")


def test_a_reused_pid_is_not_killed(tmp_path: Path) -> None:
    cluster = Cluster.control_plane(tmp_path / "cluster")
    cluster.start()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as bystander:
        try:
            record = cluster.directory / "run" / "kube-scheduler.json"
            saved = json.loads(record.read_text())
            cluster.processes.stop(["kube-scheduler"])
            saved["identity"]["pid"] = bystander.pid
            record.write_text(json.dumps(saved))
            cluster.stop()
            assert bystander.poll() is None
        finally:
            bystander.kill()
    assert_gone(cluster.directory)


def test_a_directory_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(ClusterError, match="is not empty"):
        Cluster.control_plane(tmp_path).start()
    Cluster.control_plane(tmp_path).stop()
    assert (tmp_path / "precious").read_text() == "mine"


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
    assert len(mentioning(directory)) >= 4
    assert directory in registry.orphans()
    command = [sys.executable, "-m", "tests.support.cluster", "down", "--orphans"]
    subprocess.run(command, cwd=PROJECT, timeout=60, check=True)
    assert_gone(directory)
