"""Ways in from outside: the real definitions of Gateway API and the operator with its own rights.

What a Gateway's controller would do is played: it accepts routes, or says why not. Nothing is restarted
between the parts, neither the operator nor a server.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.bench.rollout import NAMESPACE, Stage
from tests.bench.rollout_cases import NAME
from tests.support import builders, gateway
from tests.support.played_node import until
from tests.support.ready_copy import COPY

from llama_operator.reconcile import resources
from llama_operator.reconcile.routing import INSTALL_POOLS, INSTALL_ROUTES
from llama_operator.runtime.errors import NotFound
from llama_operator.runtime.resource import Resource

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]
Object = dict[str, Any]
SECONDS = 60.0
PARENT: Object = {"name": "public", "namespace": NAMESPACE}
ROUTE: Object = {"parentRefs": [PARENT], "hostnames": ["llama.example.com"]}
INGRESS: Object = {"host": "llama.example.com", "tlsSecretName": "tls"}
PICKER = f"{NAME}-picker"


class Ways:
    """What is asked of the world while the way in of one deployment changes."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.api = stage, stage.api
        self.pods: dict[str, str] = {}

    def condition(self, kind: str) -> Object:
        return next((c for c in self.stage.status.get("conditions", ()) if c["type"] == kind), {})

    @property
    def url(self) -> str:
        return str(self.stage.status.get("endpoint", {}).get("externalURL", ""))

    async def comes(self, what: str, check: Any) -> None:
        try:
            await until(check, SECONDS, what)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.stage.status}") from None

    async def change(self, **endpoint: Any) -> None:
        spec = {"endpoint": {"httpRoute": None, "ingress": None, "routing": "None", **endpoint}}
        await self.api.patch(resources.DEPLOYMENTS, NAMESPACE, NAME, {"spec": spec})

    async def find(self, resource: Resource, name: str = NAME) -> Object | None:
        try:
            return dict(await self.api.get(resource, NAMESPACE, name))
        except NotFound:
            return None

    async def made(self, resource: Resource, name: str = NAME) -> Object:
        return await self._until(resource, name, there=True)

    async def gone(self, resource: Resource, name: str = NAME) -> None:
        await self._until(resource, name, there=False)

    async def _until(self, resource: Resource, name: str, *, there: bool) -> Object:
        for _ in range(int(SECONDS * 10)):
            found = await self.find(resource, name)
            if (found is not None) is there:
                return found or {}
            await asyncio.sleep(0.1)
        word = "made" if there else "gone"
        raise AssertionError(f"{resource.kind} {name}: not {word}\n{self.stage.status}")

    async def says(self, accepted: str, resolved: str = "True") -> None:
        """The part of a Gateway's controller."""
        route = await self.made(resources.ROUTES)
        stamp = "2026-01-01T00:00:00Z"
        told = [
            {
                "type": kind, "status": value, "reason": "Tried", "message": "",
                "lastTransitionTime": stamp, "observedGeneration": route["metadata"]["generation"],
            }
            for kind, value in (("Accepted", accepted), ("ResolvedRefs", resolved))
        ]  # fmt: skip
        parent = {"parentRef": PARENT, "controllerName": "example.com/played", "conditions": told}
        status = {"status": {"parents": [parent]}}
        await self.api.patch(resources.ROUTES, NAMESPACE, NAME, status, subresource="status")

    def servers(self) -> dict[str, str]:
        found = (each["metadata"] for each in self.stage.node.pods.store.list(NAMESPACE))
        own = {"app.kubernetes.io/component": "server"}.items()
        return {meta["name"]: meta["uid"] for meta in found if own <= meta["labels"].items()}


async def _life(directory: Path) -> None:
    async with Stage.made(directory) as stage:
        ways = Ways(stage)
        await stage.node.gives(1)
        raw = builders.deployment(
            NAME,
            weightsRef={"name": COPY},
            auth={"mode": "None"},
            endpoint={"httpRoute": ROUTE, "routing": "PrefixAware"},
        )
        raw["metadata"] = {"name": NAME, "namespace": NAMESPACE}
        await stage.api.create(resources.DEPLOYMENTS, raw)
        for part in (_missing, _then_there, _accepted, _then_a_pool, _to_an_ingress, _and_off):
            await part(ways)
            assert ways.servers() == ways.pods, part.__name__


async def _missing(ways: Ways) -> None:
    """Without the kinds it serves, and says what to install."""
    available = "MinimumReplicasReady"
    await ways.comes(
        "a server that serves", lambda: ways.condition("Available").get("reason") == available
    )
    told = ways.condition("Degraded")
    assert (told["status"], told["reason"]) == ("True", "DependencyMissing")
    assert INSTALL_ROUTES in told["message"]
    assert ways.condition("Progressing")["reason"] == "RolloutComplete"
    assert ways.url == ""
    ways.pods = ways.servers()
    assert len(ways.pods) == 1


async def _then_there(ways: Ways) -> None:
    """A definition that comes is seen, and the route leads to the Service while there is no pool."""
    cluster = ways.stage.cluster
    await asyncio.to_thread(gateway.define, cluster, gateway.GATEWAYS, gateway.ROUTES)
    route = await ways.made(resources.ROUTES)
    assert _backend(route)["kind"] == "Service"
    await ways.comes(
        "the other kind", lambda: INSTALL_POOLS in ways.condition("Degraded")["message"]
    )


async def _accepted(ways: Ways) -> None:
    """An address is told once a Gateway has taken the route, and is that of its listener."""
    await ways.change(httpRoute=ROUTE)
    await ways.comes("a Gateway to miss", lambda: "no Gateway" in _said(ways))
    listener = {"name": "web", "port": 8443, "protocol": "HTTPS"}
    listener["tls"] = {"certificateRefs": [{"name": "certificate"}]}
    made = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": PARENT,
        "spec": {"gatewayClassName": "played", "listeners": [listener]},
    }
    await ways.api.create(resources.GATEWAYS, made)
    await ways.comes("nothing to miss", lambda: ways.condition("Degraded")["status"] == "False")
    assert ways.url == ""
    await ways.says("False")
    await ways.comes("the Gateway's word", lambda: "says Tried" in _said(ways))
    await ways.says("True")
    await ways.comes("an address", lambda: ways.url == "https://llama.example.com:8443/v1")
    usual = {"spec": {"listeners": [{**listener, "port": 443}]}}
    await ways.api.patch(resources.GATEWAYS, NAMESPACE, PARENT["name"], usual)
    await ways.comes("the other port", lambda: ways.url == "https://llama.example.com/v1")
    assert ways.condition("Ready")["status"] == "True"


async def _then_a_pool(ways: Ways) -> None:
    """Prefix-aware: the pool, what chooses for it with rights of its own, and the route to it."""
    await ways.change(httpRoute=ROUTE, routing="PrefixAware")
    await asyncio.to_thread(gateway.define, ways.stage.cluster, gateway.POOLS)
    pool = await ways.made(resources.POOLS)
    assert pool["spec"]["endpointPickerRef"]["name"] == PICKER
    for kind in (resources.ROLES, resources.BINDINGS, resources.ACCOUNTS, resources.SERVICES):
        await ways.made(kind, PICKER)
    picker = await ways.made(resources.SERVERS, PICKER)
    assert picker["metadata"]["ownerReferences"][0]["kind"] == "LlamaDeployment"
    await _leads_to(ways, "InferencePool")
    await ways.says("True")
    await ways.comes("an address", lambda: ways.url == "https://llama.example.com/v1")
    may = ("auth", "can-i", "--as", f"system:serviceaccount:{NAMESPACE}:{PICKER}", "-n", NAMESPACE)
    for asked, answer in (
        (("list", "pods"), "yes"),
        (("watch", f"inferencepools.inference.networking.k8s.io/{NAME}"), "yes"),
        (("list", "secrets"), "no"),
        (("delete", "pods"), "no"),
    ):
        assert (await asyncio.to_thread(_asked, ways, *may, *asked)) == answer, asked


def _asked(ways: Ways, *args: str) -> str:
    from tests.support.cluster.errors import ClusterError

    try:
        return ways.stage.cluster.kubectl(*args).strip()
    except ClusterError:
        return "no"  # kubectl ends with 1 then


async def _to_an_ingress(ways: Ways) -> None:
    await ways.change(ingress=INGRESS)
    made = await ways.made(resources.INGRESSES)
    assert made["spec"]["tls"] == [{"hosts": [INGRESS["host"]], "secretName": "tls"}]
    await _nothing_else(ways)
    await ways.comes("its address", lambda: ways.url == "https://llama.example.com/v1")
    await ways.change(ingress={"host": "other.example.com", "tlsSecretName": None})
    await ways.comes("the other", lambda: ways.url == "http://other.example.com/v1")


async def _and_off(ways: Ways) -> None:
    await ways.change()
    await ways.gone(resources.INGRESSES)
    await _nothing_else(ways)
    await ways.comes("no address", lambda: ways.url == "")
    assert ways.condition("Ready")["status"] == "True"


async def _nothing_else(ways: Ways) -> None:
    for kind in (resources.ROUTES, resources.POOLS):
        await ways.gone(kind)
    for kind in (
        *(resources.SERVERS, resources.SERVICES, resources.ROLES, resources.BINDINGS),
        *(resources.ACCOUNTS, resources.POLICIES),
    ):
        await ways.gone(kind, PICKER)


async def _leads_to(ways: Ways, kind: str) -> None:
    for _ in range(int(SECONDS * 10)):
        if _backend(await ways.made(resources.ROUTES))["kind"] == kind:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"the route does not lead to {kind}")


def _backend(route: Object) -> Object:
    return dict(route["spec"]["rules"][0]["backendRefs"][0])


def _said(ways: Ways) -> str:
    return str(ways.condition("Degraded").get("message", ""))


def test_ways_in_come_change_and_go_beside_a_server_that_stays(tmp_path: Path) -> None:
    asyncio.run(_life(tmp_path))
