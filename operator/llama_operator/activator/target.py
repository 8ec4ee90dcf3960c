"""The deployment, and how it is woken and put to sleep: through its scale subresource, as by kubectl.

Every write is of the version that was read: what somebody else has decided since is not undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_operator.api.conditions import find
from llama_operator.api.v1alpha1 import (
    DEPLOYMENT_KIND,
    DEPLOYMENT_PLURAL,
    GROUP,
    VERSION,
)
from llama_operator.runtime.api import Api
from llama_operator.runtime.errors import Conflict
from llama_operator.runtime.resource import Resource

MANAGER = "llama-activator"
DEPLOYMENTS = Resource(GROUP, VERSION, DEPLOYMENT_PLURAL, DEPLOYMENT_KIND)


class Target:
    """One LlamaDeployment; calls raise ApiError or TransportError."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self._api, self._namespace, self._name = api, namespace, name

    async def awake(self) -> bool:
        """Whether any replica is asked for."""
        return int((await self._read())["spec"].get("replicas", 1)) > 0

    async def wake(self) -> bool:
        """Ask for one replica where none is asked for; True when this call has done so."""
        found = await self._read()
        if found["spec"].get("replicas", 1) > 0:
            return False
        return await self._scale(found, 1)

    async def sleep(self) -> bool:
        """Ask for none, where that is allowed and no rollout is under way; True when done."""
        found = await self._read()
        if not may_sleep(found):
            return False
        return await self._scale(found, 0)

    async def _read(self) -> dict[str, Any]:
        return await self._api.get(DEPLOYMENTS, self._namespace, self._name)

    async def _scale(self, found: Mapping[str, Any], replicas: int) -> bool:
        version = found["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        try:
            await self._api.patch(
                DEPLOYMENTS,
                self._namespace,
                self._name,
                patch,
                subresource="scale",
                manager=MANAGER,
            )
        except Conflict:
            return False  # it is looked at again
        return True


def may_sleep(found: Mapping[str, Any]) -> bool:
    """Whether zero is allowed by the spec, and no rollout needs its servers."""
    spec = found["spec"]
    autoscaling = spec.get("autoscaling") or {}
    moves = find(found.get("status", {}).get("conditions") or (), "Progressing") or {}
    settled = moves.get("reason") == "RolloutComplete"
    judged = moves.get("observedGeneration") == found["metadata"].get("generation")
    return (
        autoscaling.get("minReplicas", 1) == 0
        and spec.get("replicas", 1) > 0
        and not spec.get("paused")
        and settled
        and judged
    )
