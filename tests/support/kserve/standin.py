"""Stands in for KServe's controller on a real API server: makes the Deployment, says what it says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from llama_operator.reconcile import resources
from llama_operator.runtime import Api, Informer
from llama_operator.runtime.errors import ClusterError
from tests.support.kserve import played

Object = dict[str, Any]
MANAGER = "kserve"
# A write that failed is tried again so soon.
AGAIN_SECONDS = 0.2


class StandIn:
    """KServe in Standard mode, for one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._changed = api, asyncio.Event()
        self.services = Informer(api, resources.INFERENCES, namespace=namespace)
        self.deployments = Informer(api, resources.SERVERS, namespace=namespace)
        # Why there is no way in: a reason and a message.
        self._ingress = ("", "")

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, api: Api, namespace: str) -> AsyncIterator[StandIn]:
        """At work until the end; what it has made stays."""
        made = cls(api, namespace)
        watched = (made.services, made.deployments)
        for informer in watched:
            informer.add_handler(lambda *_: made._changed.set())
        tasks = [asyncio.ensure_future(each.run()) for each in watched]
        for informer in watched:
            await asyncio.wait_for(informer.wait_synced(), 30)
        tasks.append(asyncio.ensure_future(made._work()))
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def lets_nobody_in(self, reason: str = "", message: str = "") -> None:
        """From now on there is no way in, for this reason; "": there is one."""
        self._ingress = (reason, message)
        self._changed.set()

    async def _work(self) -> None:
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                for service in self.services.store.list():
                    await self._one(service)
            except ClusterError:
                await asyncio.sleep(AGAIN_SECONDS)
                self._changed.set()

    async def _one(self, service: Object) -> None:
        meta = service["metadata"]
        held = played.FINALIZER in meta.get("finalizers", ())
        if meta.get("deletionTimestamp"):
            if held:
                await self._finalizers(service, [])
            return
        if not held:
            await self._finalizers(service, [played.FINALIZER])
        wanted = played.deployment(service)
        made = await self._api.apply(resources.SERVERS, wanted, manager=MANAGER)
        told = played.status(service, made, self._ingress)
        if service.get("status") != told:
            await self._patch(service, {"status": told}, "status")

    async def _finalizers(self, service: Object, wanted: list[str]) -> None:
        others = [
            each for each in service["metadata"].get("finalizers", ()) if each != played.FINALIZER
        ]
        await self._patch(service, {"metadata": {"finalizers": [*others, *wanted]}})

    async def _patch(self, service: Object, patch: Object, subresource: str | None = None) -> None:
        meta = service["metadata"]
        where = (resources.INFERENCES, meta["namespace"], meta["name"])
        await self._api.patch(*where, patch, subresource=subresource, manager=MANAGER)
