"""One whole cluster for all end-to-end tests: node, hub, operator; stopped and removed at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.support import adapters
from tests.support.cluster import Cluster
from tests.support.cluster.testing import can_run_pods
from tests.support.models import smollm2, tiny
from tests.support.stack import Stack

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
TINY = "test/tiny-llama"
# LoRA adapters for TINY; the rank of the second one is 32.
ADAPTER, HIGH = "test/tiny-sql", "test/tiny-high"
NAMESPACE = "e2e"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A cluster with GPUs to count, the operator, a hub, and a namespace under PSA restricted."""
    if not can_run_pods():
        pytest.skip("this machine cannot run pods: `make cluster-doctor` says what is missing")
    with Cluster.full(tmp_path_factory.mktemp("e2e") / "cluster", gpus=8) as cluster:
        made = Stack(cluster)
        made.install()
        cluster.kubectl("apply", "-f", "-", input=json.dumps(_restricted()))
        lora = tmp_path_factory.mktemp("lora")
        repos = {
            ADAPTER: adapters.write(lora / "sql", seed=1),
            HIGH: adapters.write(lora / "high", seed=2, rank=32),
        }
        made.start_operator(made.start_hub({SMOLLM2: smollm2(), TINY: tiny(), **repos}))
        yield made


def _restricted() -> dict[str, object]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": labels},
    }
