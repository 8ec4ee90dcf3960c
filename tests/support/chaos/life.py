"""What a LlamaDeployment goes through, from its creation to the end of all that belonged to it.

A life runs in a namespace of its own, with an operator and a proxy of its own, so that several run
at once on one API server. After each step the namespace must look as after the same step of a life
that nothing disturbed: children, statuses, conditions, and how many rollouts there were.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llama_operator.api.v1alpha1 import API_VERSION
from llama_operator.config import Config
from llama_operator.install import granted
from llama_operator.rbac import OWN_NAMESPACE, rules
from llama_operator.reconcile import resources
from llama_operator.render.inputs import Settings
from llama_operator.runtime import Api, Resource, version_of
from llama_operator.runtime.errors import ClusterError
from tests.support.builders import H100
from tests.support.chaos import comes
from tests.support.chaos.operator import REAL, Operator, Pace
from tests.support.chaos.proxy import Plan, Proxy, untouched
from tests.support.chaos.world import Object, World, difference
from tests.support.cluster import Cluster, kubeconfig
from tests.support.cluster.pki import Authority
from tests.support.stack import NAMESPACE, OPERATOR

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
_RESOURCES = {kind.kind: kind for kind in (resources.ROLES, resources.BINDINGS)}
NAME = "web"
STEP_SECONDS = 90.0


@dataclass
class Site:
    """A control plane on which lives are lived."""

    cluster: Cluster
    api: Api
    world: World
    directory: Path
    token: str = ""
    lives: int = 0

    def __post_init__(self) -> None:
        authority = Authority(self.cluster.directory / "pki")
        self.ca = authority.ca.certificate
        self.pair = authority.server("chaos-proxy", "chaos-proxy", ["127.0.0.1"])
        kubectl = self.cluster.kubectl
        self.token = kubectl("create", "token", OPERATOR, "-n", NAMESPACE, "--duration=24h").strip()

    async def namespace(self, hint: str) -> str:
        """A namespace that no life has had; no longer than `NAMESPACE` in a picture is unique."""
        self.lives += 1
        name = f"life-{self.lives:04}-{hint}"
        await self.api.create(NAMESPACES, {"metadata": {"name": name}})
        # The operators of a life hold their lease beside it.
        for obj in granted(
            "Role", {"name": OPERATOR, "namespace": name}, rules(OWN_NAMESPACE), NAMESPACE
        ):
            await self.api.create(_RESOURCES[obj["kind"]], obj)
        return name

    @contextlib.asynccontextmanager
    async def proxy(self) -> AsyncIterator[Proxy]:
        """A proxy to the API server."""
        proxy = Proxy(
            self.cluster.server, self.ca, certificate=self.pair.certificate, key=self.pair.key
        )
        async with proxy:
            yield proxy

    def operator(
        self, namespace: str, name: str, port: int, pace: Pace, *, elect: bool
    ) -> Operator:
        """An operator for one namespace, whose API server is on `port`."""
        path = self.directory / f"{namespace}-{name}"
        server = f"https://127.0.0.1:{port}"
        config = Config(
            kubeconfig=str(
                kubeconfig.with_token(path.with_suffix(".kubeconfig"), server, self.ca, self.token)
            ),
            watch_namespace=namespace,
            leader_election=elect,
            health_port=0,
            log_format="text",
            settings=Settings(operator_namespace=namespace, hf_endpoint="https://hub.invalid"),
        )
        return Operator(config, path.with_suffix(".log"), pace)


@dataclass
class Recorded:
    """A life that went undisturbed: pictures after each step, and its calls."""

    pictures: list[Object] = field(default_factory=list)
    calls: int = 0


class Life:
    """One namespace with an operator behind a proxy."""

    def __init__(self, site: Site, namespace: str, proxy: Proxy, operator: Operator) -> None:
        self.site, self.namespace = site, namespace
        self.proxy, self.operator = proxy, operator

    @classmethod
    @contextlib.asynccontextmanager
    async def begun(
        cls, site: Site, hint: str, fate: Fate, *, pace: Pace = REAL, elect: bool = False
    ) -> AsyncIterator[Life]:
        """A life that is about to begin; the operator starts."""
        namespace = await site.namespace(hint)
        async with site.proxy() as proxy:
            operator = site.operator(namespace, "operator", proxy.port, pace, elect=elect)
            life = cls(site, namespace, proxy, operator)
            proxy.plan = fate(life)
            async with operator:
                yield life

    async def record(self) -> Recorded:
        """Live undisturbed and write down what it looks like."""
        recorded = Recorded()
        for step in STEPS:
            await step.act(self)
            await self._until(lambda step=step: step.over(self), step)  # type: ignore[misc]
            await self.proxy.quiet(1.0)
            recorded.pictures.append(self.picture())
        recorded.calls = len(self.proxy.calls)
        return recorded

    async def repeat(self, recorded: Recorded) -> None:
        """Live, and look the same after each step; at the end undisturbed and at rest."""
        for step, wanted in zip(STEPS, recorded.pictures, strict=True):
            await step.act(self)
            await self._until(lambda wanted=wanted: self.picture() == wanted, step, wanted)  # type: ignore[misc]
        self.proxy.plan = untouched
        await self.proxy.quiet(0.5)
        assert self.picture() == recorded.pictures[-1], "not at rest"

    def picture(self) -> Object:
        """The namespace now."""
        return self.site.world.picture(self.namespace)

    @property
    def deployment(self) -> Object:
        """The LlamaDeployment as it was last seen; empty when there is none."""
        return self.site.world.get("LlamaDeployment", self.namespace, NAME) or {}

    async def patch(self, spec: Object, *, subresource: str | None = None) -> None:
        """Change the spec, as a user does; returns when the change is seen."""
        made = await self.site.api.patch(
            resources.DEPLOYMENTS, self.namespace, NAME, {"spec": spec}, subresource=subresource
        )
        number = int(version_of(made))
        assert await comes(lambda: int(version_of(self.deployment)) >= number, STEP_SECONDS)

    async def _until(
        self, check: Callable[[], bool], step: Step, wanted: Object | None = None
    ) -> None:
        if not await comes(check, STEP_SECONDS, every=0.1):
            raise AssertionError(self._story(step, wanted))

    def _story(self, step: Step, wanted: Object | None) -> str:
        seen = difference(wanted, self.picture()) if wanted is not None else str(self.picture())
        return "\n".join(
            [
                f"{self.namespace}: {step.name}: not as wanted after {STEP_SECONDS:g} s",
                seen,
                f"last calls of {len(self.proxy.calls)}:",
                *self.proxy.told(150),
                self.operator.told[-3000:],
            ]
        )


Fate = Callable[[Life], Plan]
"""What is to happen to the calls of a life."""


def calm(_: Life) -> Plan:
    """Nothing."""
    return untouched


# -- the steps ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """What a user does, and how one sees that an undisturbed operator is done with it."""

    name: str
    act: Callable[[Life], Awaitable[None]]
    over: Callable[[Life], bool]


def web(namespace: str, **spec: Any) -> Object:
    """The LlamaDeployment that lives."""
    return {
        "apiVersion": API_VERSION,
        "kind": "LlamaDeployment",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {"model": "llama-3.1-8b-instruct", "gpu": {"product": H100}, **spec},
    }


async def _create(life: Life) -> None:
    await life.site.api.create(resources.DEPLOYMENTS, web(life.namespace))


async def _edit(life: Life) -> None:
    await life.patch({"podMetadata": {"annotations": {"edited": "once"}}})


async def _scale_out(life: Life) -> None:
    await life.patch({"replicas": 3}, subresource="scale")


async def _scale_in(life: Life) -> None:
    await life.patch({"replicas": 1})


async def _delete(life: Life) -> None:
    await life.site.api.delete(resources.DEPLOYMENTS, life.namespace, NAME)


async def _delete_copy(life: Life) -> None:
    for copy in life.site.world.all("LlamaWeights", life.namespace):
        with contextlib.suppress(ClusterError):
            await life.site.api.delete(resources.WEIGHTS, life.namespace, copy["metadata"]["name"])


def _serving(life: Life) -> bool:
    raw = life.deployment
    status, wanted = raw.get("status", {}), raw.get("spec", {}).get("replicas", 1)
    ready = [c for c in status.get("conditions", ()) if c["type"] == "Ready"]
    return (
        bool(ready)
        and ready[0]["reason"] == "Serving"
        and status["observedGeneration"] == raw["metadata"]["generation"]
        and (status["replicas"], status["readyReplicas"], status["updatedReplicas"])
        == (wanted, wanted, wanted)
        and not life.site.world.all("Job", life.namespace)
        and len(life.site.world.all("Pod", life.namespace)) == wanted
    )


def _alone(life: Life) -> bool:
    copies = life.site.world.all("LlamaWeights", life.namespace)
    unused = [copy for copy in copies if copy.get("status", {}).get("unusedSince")]
    left = (*resources.SERVING_CHILDREN, resources.SECRETS)
    return bool(unused) and not any(life.site.world.all(kind.kind, life.namespace) for kind in left)


def _gone(life: Life) -> bool:
    return life.picture() == {}


STEPS = (
    Step("create", _create, _serving),
    Step("edit", _edit, _serving),
    Step("scale out", _scale_out, _serving),
    Step("scale in", _scale_in, _serving),
    Step("delete", _delete, _alone),
    Step("delete the copy", _delete_copy, _gone),
)
