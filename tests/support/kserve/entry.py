"""The Gateway that KServe puts routes on, played: what it would say of itself and of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from llama_operator.reconcile import resources
from llama_operator.runtime import Api, Informer, Resource
from llama_operator.runtime.errors import ClusterError
from tests.support.kserve.controller import GATEWAY
from tests.support.kserve.own import NAMESPACE

Object = dict[str, Any]
ADDRESS = "192.0.2.7"
CLASSES = Resource(
    "gateway.networking.k8s.io", "v1", "gatewayclasses", "GatewayClass", namespaced=False
)
_CONTROLLER = "example.com/played"
_SINCE = {"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}
_VERSION = "gateway.networking.k8s.io/v1"
_CLASS: Object = {
    "apiVersion": _VERSION,
    "kind": "GatewayClass",
    "metadata": {"name": "played"},
    "spec": {"controllerName": _CONTROLLER},
}
_GATEWAY: Object = {
    "apiVersion": _VERSION,
    "kind": "Gateway",
    "metadata": {"name": GATEWAY, "namespace": NAMESPACE},
    "spec": {
        "gatewayClassName": "played",
        "listeners": [
            {
                "name": "http",
                "port": 80,
                "protocol": "HTTP",
                "allowedRoutes": {"namespaces": {"from": "All"}},
            }
        ],
    },
}


def _true(*kinds: str) -> list[Object]:
    return [
        {"type": kind, "status": "True", "reason": kind, "message": "", **_SINCE} for kind in kinds
    ]


@contextlib.asynccontextmanager
async def played(api: Api, namespace: str) -> AsyncIterator[Informer]:
    """There, and taking each route of this namespace, until the end; gives the routes."""
    await api.create(CLASSES, _CLASS)
    await api.create(resources.GATEWAYS, _GATEWAY)
    told = {
        "addresses": [{"type": "IPAddress", "value": ADDRESS}],
        "conditions": _true("Accepted", "Programmed"),
    }
    where = (resources.GATEWAYS, NAMESPACE, GATEWAY)
    await api.patch(*where, {"status": told}, subresource="status", manager="played")
    routes = Informer(api, resources.ROUTES, namespace=namespace)
    tasks = [asyncio.ensure_future(routes.run())]
    await asyncio.wait_for(routes.wait_synced(), 30)
    tasks.append(asyncio.ensure_future(_take(api, routes)))
    try:
        yield routes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _take(api: Api, routes: Informer) -> None:
    while True:
        for route in routes.store.list():
            if not route.get("status", {}).get("parents"):
                with contextlib.suppress(ClusterError):
                    await _accept(api, route)
        await asyncio.sleep(0.1)


async def _accept(api: Api, route: Object) -> None:
    parents = [
        {
            "parentRef": parent,
            "controllerName": _CONTROLLER,
            "conditions": _true("Accepted", "ResolvedRefs"),
        }
        for parent in route["spec"]["parentRefs"]
    ]
    where = (resources.ROUTES, route["metadata"]["namespace"], route["metadata"]["name"])
    told = {"status": {"parents": parents}}
    await api.patch(*where, told, subresource="status", manager="played")
