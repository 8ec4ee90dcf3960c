"""The two reconcilers: snapshot, decide, apply, status; one status write, also after a refusal."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import ValidationError

from llama_operator.api import labels
from llama_operator.api.conditions import Condition, merge
from llama_operator.api.v1alpha1 import API_VERSION
from llama_operator.reconcile import decide, decide_weights, resources, status, status_weights
from llama_operator.reconcile.actions import SetFinalizer
from llama_operator.reconcile.apply import Applier
from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.gather import Gatherer
from llama_operator.reconcile.snapshot import owner_of
from llama_operator.runtime.api import Api
from llama_operator.runtime.clock import Clock
from llama_operator.runtime.controller import Result
from llama_operator.runtime.errors import NotFound
from llama_operator.runtime.resource import Key, Resource

Object = dict[str, Any]

# A refusal (quota, admission, a stranger's object) may be lifted without any event that we see.
REFUSED_RETRY_SECONDS = 30.0


class Recorder(Protocol):
    """Where changes of conditions are told as Events."""

    def transitions(self, raw: Object, old: list[Object], new: list[Object]) -> None:
        """Tell what changed."""


class StatusWriter:
    """Writes a status when it differs from the one last seen, and only then."""

    def __init__(self, api: Api, resource: Resource, recorder: Recorder) -> None:
        self._api = api
        self._resource = resource
        self._recorder = recorder

    async def write(self, raw: Object, wanted: Object, foreign: tuple[str, ...] = ()) -> None:
        """Server-side apply of the status; fields named `foreign` belong to another writer."""
        old = raw.get("status", {})
        if {name: value for name, value in old.items() if name not in foreign} == wanted:
            return
        meta = raw["metadata"]
        body = {
            "apiVersion": API_VERSION,
            "kind": self._resource.kind,
            # The UID: a namesake made since must not inherit this status.
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "status": wanted,
        }
        try:
            await self._api.apply(
                self._resource, body, manager=labels.STATUS_MANAGER, subresource="status"
            )
        except NotFound:
            return  # deleted meanwhile
        self._recorder.transitions(raw, old.get("conditions", []), wanted["conditions"])


class DeploymentReconciler:
    """Brings one LlamaDeployment nearer to its spec."""

    def __init__(
        self, api: Api, caches: Caches, gatherer: Gatherer, recorder: Recorder, clock: Clock
    ) -> None:
        self._api = api
        self._caches = caches
        self._gatherer = gatherer
        self._status = StatusWriter(api, resources.DEPLOYMENTS, recorder)
        self._clock = clock

    async def __call__(self, key: Key) -> Result:
        """Reconcile; raises ApiError or TransportError for what a retry may cure."""
        raw = self._caches.deployments.store.get(key.namespace, key.name)
        if raw is None or raw["metadata"].get("deletionTimestamp"):
            return Result()  # owner references and the garbage collector see to the children
        try:
            view = await self._gatherer.deployment(raw)
        except ValidationError as error:
            await self._status.write(raw, invalid(raw, error, self._now()))
            return Result()
        decision = decide.decide(view)
        failure = await Applier(self._api, view.owner).run(decision.actions)
        wanted = status.build(view, decision, failure, self._now())
        await self._status.write(raw, wanted)
        return Result(requeue_after=REFUSED_RETRY_SECONDS if failure else decision.requeue_after)

    def _now(self) -> str:
        return stamp(self._clock)


class WeightsReconciler:
    """Brings one LlamaWeights nearer to its spec."""

    def __init__(
        self, api: Api, caches: Caches, gatherer: Gatherer, recorder: Recorder, clock: Clock
    ) -> None:
        self._api = api
        self._caches = caches
        self._gatherer = gatherer
        self._status = StatusWriter(api, resources.WEIGHTS, recorder)
        self._clock = clock

    async def __call__(self, key: Key) -> Result:
        """Reconcile; raises ApiError or TransportError for what a retry may cure."""
        raw = self._caches.weights.store.get(key.namespace, key.name)
        if raw is None:
            return Result()
        if raw["metadata"].get("deletionTimestamp"):
            return await self._leave(raw)
        try:
            view = await self._gatherer.weights(raw)
        except ValidationError as error:
            await self._status.write(raw, invalid(raw, error, stamp(self._clock)), ("progress",))
            return Result()
        decision = decide_weights.decide(view)
        failure = await Applier(self._api, view.owner).run(decision.actions)
        wanted = status_weights.build(view, decision, failure, stamp(self._clock))
        await self._status.write(raw, wanted, ("progress",))
        return Result(requeue_after=REFUSED_RETRY_SECONDS if failure else decision.requeue_after)

    async def _leave(self, raw: Object) -> Result:
        owner = owner_of(raw)
        users = self._caches.users_of(owner.namespace, owner.name)
        held = labels.FINALIZER in raw["metadata"].get("finalizers", ())
        if held and not users:
            off = SetFinalizer(owner.namespace, owner.name, owner.uid, present=False)
            await Applier(self._api, owner).run([off])
        return Result()


def stamp(clock: Clock) -> str:
    """Now, as the API server writes times."""
    return clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def invalid(raw: Object, error: ValidationError, now: str) -> Object:
    """The status of a spec that cannot be read; what was known before is kept."""
    first = error.errors()[0]
    field = ".".join(["spec", *(str(part) for part in first["loc"])])
    message = f"{field}: {first['msg']}"
    generation = int(raw["metadata"].get("generation", 0))
    kind = "Planned" if raw["kind"] == "LlamaDeployment" else "Accessible"
    conditions = [Condition(name, "False", "InvalidSpec", message) for name in ("Ready", kind)]
    old = raw.get("status", {})
    return {
        **{name: value for name, value in old.items() if name != "progress"},
        "observedGeneration": generation,
        "conditions": merge(old.get("conditions", []), conditions, generation, now),
    }
