"""Whether KEDA is there, and of which version, by its definition alone."""

from __future__ import annotations

import asyncio
from typing import Any

import yaml
from tests.support import keda
from tests.unit.runtime.fake_api import FakeApi
from tests.unit.runtime.helpers import Running, eventually

from llama_operator.reconcile import resources
from llama_operator.reconcile.installed import Definition
from llama_operator.runtime import Api

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(established: bool = True, **version: Any) -> dict[str, Any]:
    crd: dict[str, Any] = yaml.safe_load(keda.CRD.read_text())
    crd["spec"]["versions"][0].update(version)
    condition = {"type": "Established", "status": "True" if established else "False"}
    return {**crd, "status": {"conditions": [condition]}}


async def test_it_comes_changes_and_goes(server: FakeApi, api: Api) -> None:
    found = Definition(api, resources.SCALED_OBJECTS)
    waiting = asyncio.ensure_future(found.installed())
    async with Running(found.informer.run()):
        await eventually(lambda: found.informer.synced)
        assert found.versions is None
        server.put(PATH, definition(established=False))
        await eventually(lambda: found.versions == ())
        assert not waiting.done()
        server.put(PATH, definition())
        await eventually(waiting.done)
        assert found.versions == ("v1alpha1",)
        server.put(PATH, definition(name="v2"))
        await eventually(lambda: found.versions == ("v2",))
        again = asyncio.ensure_future(found.installed())
        server.remove(f"{PATH}/{keda.NAME}")
        await eventually(lambda: found.versions is None)
        assert not again.done()
        again.cancel()


async def test_only_the_one_definition_is_watched_and_little_of_it_kept(
    server: FakeApi, api: Api
) -> None:
    server.put(PATH, definition())
    found = Definition(api, resources.SCALED_OBJECTS)
    async with Running(found.informer.run()):
        await eventually(lambda: found.versions == ("v1alpha1",))
    asked = {query.get("fieldSelector") for _, _, query in server.requests}
    assert asked == {f"metadata.name={keda.NAME}"}
    assert len(str(found.informer.store.list())) < 300
