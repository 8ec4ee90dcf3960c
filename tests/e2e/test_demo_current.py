"""`make demo CLUSTER=current`: on a cluster that it knows only by its kubeconfig."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.conftest import SMOLLM2
from tests.support.cluster import Cluster
from tests.support.cluster.testing import can_run_pods
from tests.support.models import smollm2
from tests.support.release import REPOSITORIES
from tests.support.stack import NAMESPACE, PROJECT, RUNTIME_CLASS, VLLM_IMAGE, Stack

pytestmark = [pytest.mark.node, pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def bare(tmp_path: Path) -> Stack:
    """A node that has the images already, as if a registry had given them, and a hub."""
    if not can_run_pods():
        pytest.skip("this machine cannot run pods: `make cluster-doctor` says what is missing")
    cluster = Cluster.full(tmp_path / "cluster", gpus=0)
    return Stack(cluster)


def test_the_demo_on_a_cluster_by_its_kubeconfig(bare: Stack) -> None:
    with bare.cluster as cluster:
        assert bare.release is not None
        bare.release.load()
        tag = bare.release.tag
        hub = bare.start_hub({SMOLLM2: smollm2()})
        environment = {
            **os.environ,
            "KUBECONFIG": str(cluster.kubeconfig),
            "IMAGE": f"{REPOSITORIES['operator']}:{tag}",
            "WEIGHTS_IMAGE": f"{REPOSITORIES['weights']}:{tag}",
            "VLLM_IMAGE": VLLM_IMAGE,
            "RUNTIME_CLASS": RUNTIME_CLASS,
            "HF_ENDPOINT": hub,
        }
        demo = [sys.executable, "-m", "tests.support.demo", "--cluster=current"]
        done = subprocess.run(
            demo,
            env=environment,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=700,
            check=False,
        )
        told = cluster.kubectl("get", "llama,lw,pods,events", "-A")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{told}"
        assert "Paris" in done.stdout
        assert bare.get("deployment", "llama-operator", NAMESPACE)["status"]["readyReplicas"] == 2
