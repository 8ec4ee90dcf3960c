"""What a cluster tells of its devices, watched from the first time that somebody asks for it.

Most clusters have neither a driver nor a deployment that claims devices; to them this costs nothing.
"""

from __future__ import annotations

import asyncio

from llama_operator.planner.devices import slim_slice
from llama_operator.reconcile import resources
from llama_operator.reconcile.devices import Devices, slim_class
from llama_operator.runtime.api import Api
from llama_operator.runtime.errors import ApiError, TransportError
from llama_operator.runtime.hooks import InformerHooks
from llama_operator.runtime.ondemand import OnDemand

# Nothing but an upgrade of the API server makes it serve another version.
ABSENT_SECONDS = 600.0
# For the first one to ask. Where the API server does not tell in time, nobody waits for it again.
WAIT_SECONDS = 5.0


class DeviceCaches:
    """DeviceClasses and ResourceSlices."""

    def __init__(self, api: Api, hooks: InformerHooks | None = None) -> None:
        self._api = api
        self._patient = True
        self.classes = OnDemand(
            api, resources.DEVICE_CLASSES, transform=slim_class, installed=self.served, hooks=hooks
        )
        self.slices = OnDemand(
            api, resources.DEVICE_SLICES, transform=slim_slice, installed=self.served, hooks=hooks
        )

    @property
    def all(self) -> tuple[OnDemand, OnDemand]:
        """Both."""
        return self.classes, self.slices

    async def served(self) -> None:
        """Return once the API server has the kinds; asked seldom, for it gets them by an upgrade."""
        while not await self._there():
            await self._api.clock.sleep(ABSENT_SECONDS)

    async def _there(self) -> bool:
        try:
            return await self._api.served(resources.CLAIM_TEMPLATES)
        except (ApiError, TransportError):
            return False  # whoever waits for this has no other answer, and asks again

    async def known(self) -> Devices | None:
        """What there is; None where the API server has not told yet."""
        if self._patient:
            await self._ask()
        if not all(each.complete for each in self.all):
            return None
        names = (obj["metadata"]["name"] for obj in self.classes.store.list())
        slices = tuple(self.slices.store.list())
        return Devices(self.classes.served, frozenset(names), slices)

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await asyncio.gather(*(each.ask() for each in self.all))
        except TimeoutError:
            self._patient = False
