"""Many LlamaDeployments that name one ready copy, and the same writes by a bare loop."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llama_operator.api import labels
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.reconcile import decide, resources, status
from llama_operator.reconcile.actions import Apply, CreateKey
from llama_operator.reconcile.snapshot import DeploymentView, SecretView
from llama_operator.render import secret
from llama_operator.render.secret import api_key_secret
from llama_operator.runtime import Api, Resource
from tests.support import builders
from tests.support.ready_copy import COPY, READY, copy_of, make_copy

Object = dict[str, Any]
NAMESPACE = "herd"
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)


def name(number: int) -> str:
    """Of equal length, so that none is the beginning of another."""
    return f"llama-{number:06}"


def deployment(number: int) -> Object:
    """One of the herd, as its user writes it."""
    raw = builders.deployment(name(number), weightsRef={"name": COPY})
    raw["metadata"] = {"name": name(number), "namespace": NAMESPACE}
    return raw


async def prepare(api: Api) -> None:
    """The namespace, with the copy that all name."""
    await api.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    await make_copy(api, NAMESPACE)


async def create(api: Api, count: int) -> None:
    """One after the other, as `kubectl apply` does with a file of many."""
    for number in range(count):
        await api.create(resources.DEPLOYMENTS, deployment(number))


@dataclass(frozen=True)
class Writes:
    """What the operator writes for one deployment: children in their order, and a status."""

    children: list[tuple[Resource, Object, bool]]
    status: Object

    @classmethod
    def of(cls, raw: Object) -> Writes:
        """As the operator's own code decides it; the UID is not known yet."""
        spec = LlamaDeploymentSpec.model_validate(raw["spec"])
        view = DeploymentView(
            raw={**raw, "metadata": {**raw["metadata"], "uid": "-"}},
            spec=spec,
            world=builders.world(nodes=()),
            weights={**copy_of(NAMESPACE), "status": READY},
            key=SecretView(secret.secret_name(raw["metadata"]["name"], spec)),
        )
        decision = decide.decide(view)
        written = status.build(view, decision, None, "2026-01-01T00:00:00Z")
        return cls([*_children(view, decision)], written)

    def owned_by(self, uid: str) -> Iterator[tuple[Resource, Object, bool]]:
        """The children, with the UID that only the API server knows."""
        for resource, obj, new in self.children:
            meta = copy.copy(obj["metadata"])
            meta["ownerReferences"] = [{**ref, "uid": uid} for ref in meta["ownerReferences"]]
            yield resource, {**obj, "metadata": meta}, new


def _children(
    view: DeploymentView, decision: decide.Decision
) -> Iterator[tuple[Resource, Object, bool]]:
    for action in decision.actions:
        match action:
            case Apply():
                yield resources.BY_KIND[action.obj["kind"]], action.obj, False
            case CreateKey():
                yield resources.SECRETS, api_key_secret(view.owner, "sk-" + "0" * 43), True
            case _:
                raise AssertionError(f"{action}: not expected for a copy that is ready")


Known = list[tuple[Object, Writes]]


def known(count: int) -> Known:
    """Each deployment, and what is written for it: what a bare loop need not think about."""
    herd = [deployment(number) for number in range(count)]
    return [(raw, Writes.of(raw)) for raw in herd]


async def bare_loop(api: Api, herd: Known, tasks: int) -> int:
    """All writes of the herd and of the operator, by so many tasks; returns how many they were."""
    waiting = iter(herd)

    async def work() -> None:
        for raw, writes in waiting:
            await _one(api, raw, writes)

    await asyncio.gather(*(work() for _ in range(tasks)))
    return sum(2 + len(writes.children) for _, writes in herd)


async def _one(api: Api, raw: Object, writes: Writes) -> None:
    made = await api.create(resources.DEPLOYMENTS, raw)
    for resource, obj, new in writes.owned_by(made["metadata"]["uid"]):
        if new:
            await api.create(resource, obj, manager=labels.OPERATOR_MANAGER)
        else:
            await api.apply(resource, obj, manager=labels.OPERATOR_MANAGER, create=True, brief=True)
    told = {name: raw["metadata"][name] for name in ("name", "namespace")}
    body = {**raw, "metadata": told, "status": writes.status}
    del body["spec"]
    await api.apply(
        resources.DEPLOYMENTS,
        body,
        manager=labels.STATUS_MANAGER,
        subresource="status",
        brief=True,
    )
