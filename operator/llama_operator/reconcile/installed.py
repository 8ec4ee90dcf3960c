"""Which optional kinds a cluster serves, by their definitions.

A watch of one CustomResourceDefinition by its name tells at once that KEDA was installed, removed or
upgraded, and costs nothing while nothing changes; to ask for the kind each minute would.
"""

from __future__ import annotations

import asyncio
from typing import Any

from llama_operator.reconcile import resources
from llama_operator.runtime.api import Api
from llama_operator.runtime.hooks import InformerHooks
from llama_operator.runtime.informer import Informer
from llama_operator.runtime.resource import Resource

Object = dict[str, Any]


class Definition:
    """The definition of one optional kind, watched."""

    def __init__(self, api: Api, resource: Resource, hooks: InformerHooks | None = None) -> None:
        self.resource = resource
        self._name = f"{resource.plural}.{resource.group}"
        self._version = resource.version
        self._served = asyncio.Event()
        self.informer = Informer(
            api,
            resources.CRDS,
            field_selector=f"metadata.name={self._name}",
            transform=slim_definition,
            hooks=hooks,
        )
        self.informer.add_handler(self._seen)

    @property
    def versions(self) -> tuple[str, ...] | None:
        """Versions that are served; None where the kind is not installed."""
        found = self.informer.store.get("", self._name)
        return tuple(found["served"]) if found else None

    async def installed(self) -> None:
        """Return as soon as our version of the kind is served."""
        await self._served.wait()

    def _seen(self, _event: str, _old: Object | None, _new: Object | None) -> None:
        if self._version in (self.versions or ()):
            self._served.set()
        else:
            self._served.clear()


def slim_definition(crd: Object) -> Object:
    """Of a definition, whose schema may have a hundred kilobytes, only what is served."""
    meta = {name: crd["metadata"][name] for name in ("name", "uid", "resourceVersion")}
    served = [each["name"] for each in crd["spec"]["versions"] if each.get("served")]
    established = any(
        each["type"] == "Established" and each["status"] == "True"
        for each in crd.get("status", {}).get("conditions") or ()
    )
    return {"metadata": meta, "served": served if established else []}
