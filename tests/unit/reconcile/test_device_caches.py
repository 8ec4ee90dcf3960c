"""What a cluster tells of its devices: read from the first time that somebody asks, and not before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.builders import deployment, gpu_node, resource_slice, world
from tests.unit.runtime.fake_api import FakeApi, Fault
from tests.unit.runtime.helpers import Running, eventually

from llama_operator.reconcile import device_caches
from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.device_caches import DeviceCaches
from llama_operator.reconcile.gather import Gatherer
from llama_operator.runtime import Api
from llama_operator.runtime.errors import ServerError, TransportError
from llama_operator.runtime.resource import Resource

Object = dict[str, Any]
ROOT = "/apis/resource.k8s.io/v1"
CLASSES, SLICES = f"{ROOT}/deviceclasses", f"{ROOT}/resourceslices"
CLASS: Object = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "spec": {"selectors": []},
}


def asked(server: FakeApi) -> set[str]:
    return {path for _, path, _ in server.requests if path.startswith(ROOT)}


async def test_nothing_is_read_until_somebody_asks(server: FakeApi, api: Api) -> None:
    server.put(CLASSES, CLASS, name="gpu.nvidia.com")
    server.put(SLICES, resource_slice("n1", 4), name="s")
    caches = DeviceCaches(api)
    async with Running(asyncio.gather(*(each.run() for each in caches.all))):
        for each in caches.all:
            assert each.synced
            await each.wait_synced()
        await asyncio.sleep(0.05)
        assert asked(server) == set()
        found = await caches.known()
        assert found is not None
        assert found.served
        assert found.classes == {"gpu.nvidia.com"}
        assert [each["node"] for each in found.slices] == ["n1"]
        server.remove(f"{CLASSES}/gpu.nvidia.com")
        await eventually(lambda: not caches.classes.store.list())
        again = await caches.known()
        assert again is not None
        assert again.classes == frozenset()


async def test_a_cluster_without_the_api_is_told_from_one_without_a_class(
    server: FakeApi, api: Api
) -> None:
    server.kinds_missing = {"deviceclasses", "resourceslices"}
    caches = DeviceCaches(api)
    async with Running(asyncio.gather(*(each.run() for each in caches.all))):
        found = await caches.known()
        assert found is not None
        assert not found.served


async def test_an_api_server_that_fails_meanwhile_is_asked_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = [TransportError("refused"), ServerError(503, "Busy", "later"), False, True]

    async def served(_resource: Resource) -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    monkeypatch.setattr(device_caches, "ABSENT_SECONDS", 0.001)
    monkeypatch.setattr(api, "served", served)
    await DeviceCaches(api).served()
    assert answers == []


async def test_who_may_not_read_them_waits_once_and_not_again(
    server: FakeApi, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_caches, "WAIT_SECONDS", 0.05)
    server.fault = lambda request: Fault(403, "Forbidden") if request.path == CLASSES else None
    caches = DeviceCaches(api)
    async with Running(asyncio.gather(*(each.run() for each in caches.all))):
        assert await caches.known() is None
        monkeypatch.setattr(device_caches, "WAIT_SECONDS", 3600)
        assert await caches.known() is None


@pytest.mark.parametrize(("gpu", "known"), [({}, False), ({"deviceClassName": "a"}, True)])
async def test_only_a_deployment_that_claims_asks(
    server: FakeApi, api: Api, gpu: Object, known: bool
) -> None:
    caches, env = Caches(api), world()
    caches.nodes.store.put(gpu_node())
    raw = deployment(gpu=gpu, auth={"mode": "None"})
    gatherer = Gatherer(api, caches, env.catalog, env.settings, api.clock)
    async with Running(asyncio.gather(*(each.run() for each in caches.devices.all))):
        view = await gatherer.deployment(raw)
    assert (view.devices is not None) == known
    assert bool(asked(server)) == known
