"""What integration tests ask of a played world while one deployment changes."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_operator.reconcile import resources
from llama_operator.runtime.errors import NotFound
from llama_operator.runtime.resource import Resource
from tests.bench.rollout import NAMESPACE, Stage
from tests.bench.rollout_cases import NAME
from tests.support.played_node import until

Object = dict[str, Any]
SECONDS = 120.0


class Onlooker:
    """What is asked of the world while one deployment changes."""

    def __init__(self, stage: Stage, name: str = NAME) -> None:
        self.stage, self.name = stage, name

    @property
    def status(self) -> Object:
        """What the deployment's status says now."""
        found = self.stage.deployments.store.get(NAMESPACE, self.name) or {}
        return dict(found.get("status", {}))

    def pods(self) -> dict[str, str]:
        """Name -> UID of the pods that are there to stay."""
        found = self.stage.node.pods.store.list(NAMESPACE)
        alive = [each["metadata"] for each in found]
        return {m["name"]: m["uid"] for m in alive if not m.get("deletionTimestamp")}

    def condition(self, kind: str) -> Object:
        return next((c for c in self.status.get("conditions", ()) if c["type"] == kind), {})

    async def comes(self, what: str, check: Any) -> None:
        try:
            await until(check, SECONDS, what)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.status}\n{self.pods()}") from None

    async def is_ready(self, generation: int) -> None:
        def ready() -> bool:
            told = self.condition("Ready")
            return bool(told.get("status") == "True" and told["observedGeneration"] == generation)

        await self.comes("Ready", ready)

    async def there(self, resource: Resource) -> bool:
        try:
            found = await self.stage.api.get(resource, NAMESPACE, self.name)
        except NotFound:
            return False
        return "deletionTimestamp" not in found["metadata"]

    async def absent(self, resource: Resource, name: str = "") -> None:
        """Return once an object is gone; AssertionError where it stays for half a minute."""
        for _ in range(300):
            try:
                await self.stage.api.get(resource, NAMESPACE, name or self.name)
            except NotFound:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{resource.kind} {name or self.name} is still there\n{self.status}")

    async def change(self, **spec: Any) -> int:
        made = await self.stage.api.patch(
            resources.DEPLOYMENTS, NAMESPACE, self.name, {"spec": spec}
        )
        return int(made["metadata"]["generation"])
