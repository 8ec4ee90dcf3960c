"""One control plane for all integration tests, with both CRDs installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from tests.integration.rawapi import RawApi
from tests.support.cluster import Cluster

from llama_operator.api import crd

# Where tests fetch and convert in processes of their own.
OF_WEIGHTS = tuple(Path(__file__).parent / name for name in ("weights", "convert"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Mark what waits for such processes most of the time."""
    for item in items:
        if item.path.parent in OF_WEIGHTS:
            item.add_marker("weights")


@pytest.fixture(scope="session")
def api_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running control plane that serves LlamaDeployment and LlamaWeights; no node."""
    with Cluster.control_plane(tmp_path_factory.mktemp("api") / "cluster") as cluster:
        install_crds(cluster)
        yield cluster


@pytest.fixture(scope="session")
def api(api_cluster: Cluster) -> RawApi:
    """Requests as administrator in the namespace default."""
    return RawApi(api_cluster.kubeconfig)


def install_crds(cluster: Cluster) -> None:
    """Apply the committed CRDs and wait until they are served."""
    cluster.kubectl("apply", "--server-side", "-f", str(crd.CRD_DIRECTORY))
    for made in crd.all_crds():
        name = f"crd/{made['metadata']['name']}"
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", name)
