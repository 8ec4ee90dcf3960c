"""One control plane for all chaos, with an administrator's look at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from llama_operator.reconcile.resources import STORAGE_CLASSES
from llama_operator.runtime import Api, load_configuration
from tests.support.builders import DEFAULT_CLASS
from tests.support.chaos.life import Life, Recorded, Site, calm
from tests.support.chaos.world import World
from tests.support.cluster import Cluster
from tests.support.stack import Stack


@pytest.fixture(scope="session")
def chaos_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane with the operator's kinds and rights; no scheduler, for there is no node."""
    with Cluster.control_plane(tmp_path_factory.mktemp("chaos") / "cluster") as cluster:
        Stack(cluster).install()
        # The garbage collector learns of kinds when it starts, or half a minute later.
        cluster.restart("kube-controller-manager")
        cluster.processes.stop(["kube-scheduler"])
        yield cluster


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(
    chaos_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """Where lives are lived, on one event loop for all tests."""
    api = Api(await load_configuration(chaos_cluster.kubeconfig))
    await api.create(STORAGE_CLASSES, DEFAULT_CLASS)
    async with World(api) as world:
        yield Site(chaos_cluster, api, world, tmp_path_factory.mktemp("operators"))
    await api.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def recorded(site: Site) -> Recorded:
    """A life that nothing disturbs."""
    async with Life.begun(site, "calm", calm) as life:
        return await life.record()
