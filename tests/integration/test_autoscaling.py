"""Scalers on a real API server, under the real definition of KEDA's ScaledObject."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.bench.scale_from_zero import measured
from tests.support import keda
from tests.support.cluster import Cluster
from tests.unit.render.test_scaling import found, scaled

pytestmark = pytest.mark.cluster
TARGETS = [
    {"metric": name, "value": 9} for name in ("WaitingRequests", "KVCacheUsage", "TimeToFirstToken")
]


def dry_run(cluster: Cluster, obj: dict[str, Any]) -> str:
    return cluster.kubectl(
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        input=json.dumps(obj),
    )


def test_scalers_are_accepted_as_rendered(api_cluster: Cluster) -> None:
    api_cluster.kubectl("apply", "--server-side", "-f", str(keda.CRD))
    try:
        api_cluster.kubectl("wait", "--for=condition=Established", f"crd/{keda.NAME}")
        made = scaled("KEDA", autoscaling={"minReplicas": 0, "targets": TARGETS})
        assert "web serverside-applied" in dry_run(api_cluster, found(made, "ScaledObject"))
    finally:
        api_cluster.kubectl("delete", "crd", keda.NAME)
    hpa = found(scaled("HPA", autoscaling={"targets": TARGETS}), "HorizontalPodAutoscaler")
    assert "web serverside-applied" in dry_run(api_cluster, hpa)


def test_a_hundred_requests_to_no_replica_are_each_answered_once(
    api_cluster: Cluster, tmp_path: Path
) -> None:
    figures = asyncio.run(measured(api_cluster, tmp_path, 100, start_seconds=0.5))
    assert figures.kept, figures
    assert figures.held == 100, figures
