"""The two reconcilers: snapshot, decide, apply, status; one status write, also after a refusal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pydantic import ValidationError

from llama_operator.api import labels
from llama_operator.api.conditions import Condition, merge
from llama_operator.api.v1alpha1 import API_VERSION
from llama_operator.reconcile import (
    decide,
    decide_weights,
    resources,
    status,
    status_weights,
    usage,
)
from llama_operator.reconcile.actions import Action, Failure, SetFinalizer
from llama_operator.reconcile.apply import Applier, Write, told
from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.gather import Gatherer
from llama_operator.reconcile.ownership import index
from llama_operator.reconcile.snapshot import DeploymentView, SecretView, owner_of
from llama_operator.render.inputs import Owner
from llama_operator.runtime.api import Api
from llama_operator.runtime.clock import Clock
from llama_operator.runtime.controller import Result
from llama_operator.runtime.errors import ApiError, Conflict, NotFound
from llama_operator.runtime.resource import Key, Resource
from llama_operator.runtime.store import Store

Object = dict[str, Any]


class Recorder(Protocol):
    """Where changes of conditions are told as Events."""

    def transitions(self, raw: Object, old: list[Object], new: list[Object]) -> None:
        """Tell what changed."""


@dataclass(frozen=True)
class _Written:
    uid: str
    version: int
    status: Object
    others: tuple[str, ...]

    def foreign(self, raw: Object) -> Object:
        """What another writer's fields say in the cache."""
        status = raw.get("status", {})
        return {name: status[name] for name in self.others if name in status}


def _version(raw: Object) -> int:
    # Comparable by contract since Kubernetes 1.35, and in fact since ever; 0 is "older than any".
    text = str(raw.get("metadata", {}).get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0


def _uid(raw: Object) -> str:
    return str(raw["metadata"].get("uid", ""))


class StatusWriter:
    """Writes a status when it differs from the one last seen, and only then."""

    def __init__(self, api: Api, resource: Resource, recorder: Recorder, cache: Store) -> None:
        self._api = api
        self._resource = resource
        self._recorder = recorder
        self._cache = cache
        self._written: dict[Key, _Written] = {}

    def latest(self, raw: Object) -> Object:
        """The object with the status that was last written, where the cache has not seen it yet.

        Compared with an older one, a status that went there and back would count as unchanged
        and stay wrong: nothing tells of an object that only its own status has changed.
        """
        key = Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
        last = self._written.get(key)
        if last is None:
            return raw
        if last.uid != raw["metadata"]["uid"] or last.version <= _version(raw):
            del self._written[key]
            return raw
        meta = {**raw["metadata"], "resourceVersion": str(last.version)}
        return {**raw, "metadata": meta, "status": {**last.foreign(raw), **last.status}}

    def seen(self, _event: str, old: Object | None, new: Object | None) -> None:
        """Forget what the cache shows by now: ten thousand statuses are a hundred megabytes."""
        raw = new or old
        if raw is not None:
            self._forget(Key(raw["metadata"]["namespace"], raw["metadata"]["name"]))

    def _forget(self, key: Key) -> None:
        last, shown = self._written.get(key), self._cache.get(*key)
        if last and (shown is None or last.uid != _uid(shown) or last.version <= _version(shown)):
            del self._written[key]

    async def write(self, raw: Object, wanted: Object, foreign: tuple[str, ...] = ()) -> None:
        """Server-side apply of the status; fields named `foreign` belong to another writer.

        Raises Conflict when the object is not the one that was looked at: a status of the past,
        from a leader that was paused beyond its lease, would stay, for nothing tells of it.
        """
        old = raw.get("status", {})
        if {name: value for name, value in old.items() if name not in foreign} == wanted:
            return
        meta = raw["metadata"]
        body = {
            "apiVersion": API_VERSION,
            "kind": self._resource.kind,
            "metadata": {
                "name": meta["name"],
                "namespace": meta["namespace"],
                # A namesake made since must not inherit this status.
                "uid": meta["uid"],
                "resourceVersion": str(meta["resourceVersion"]),
            },
            "status": wanted,
        }
        try:
            made = await self._api.apply(
                self._resource,
                body,
                manager=labels.STATUS_MANAGER,
                subresource="status",
                brief=True,
            )
        except NotFound:
            return  # deleted meanwhile
        key = Key(meta["namespace"], meta["name"])
        self._written[key] = _Written(meta["uid"], _version(made), wanted, foreign)
        self._forget(key)  # the watch may have been faster than the answer
        self._recorder.transitions(raw, old.get("conditions", []), wanted["conditions"])


class DeploymentReconciler:
    """Brings one LlamaDeployment nearer to its spec."""

    def __init__(
        self, api: Api, caches: Caches, gatherer: Gatherer, recorder: Recorder, clock: Clock
    ) -> None:
        self._api = api
        self._caches = caches
        self._gatherer = gatherer
        self._status = StatusWriter(api, resources.DEPLOYMENTS, recorder, caches.deployments.store)
        caches.deployments.add_handler(self._status.seen)
        self._clock = clock

    async def __call__(self, key: Key) -> Result:
        """Reconcile; raises ApiError or TransportError for what a retry may cure."""
        raw = self._caches.deployments.store.get(key.namespace, key.name)
        if raw is None or raw["metadata"].get("deletionTimestamp"):
            return Result()  # owner references and the garbage collector see to the children
        raw = self._status.latest(raw)
        try:
            view = await self._gatherer.deployment(raw)
        except ValidationError as error:
            await self._status.write(raw, invalid(raw, error, self._now()))
            return Result()
        decision = decide.decide(view)
        outcome = await carried_out(self._api, view.owner, decision.actions, self._caches.own)
        if outcome.key:
            self._gatherer.keys.made(view.owner.uid, outcome.key)
        seen = with_made(view, outcome.made)
        wanted = status.build(seen, decision, outcome.failure, self._now())
        await self._status.write(raw, wanted)
        return outcome.result(decision.requeue_after)

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
        self._status = StatusWriter(api, resources.WEIGHTS, recorder, caches.weights.store)
        caches.weights.add_handler(self._status.seen)
        self._clock = clock

    async def __call__(self, key: Key) -> Result:
        """Reconcile; raises ApiError or TransportError for what a retry may cure."""
        raw = self._caches.weights.store.get(key.namespace, key.name)
        if raw is None:
            return Result()
        if raw["metadata"].get("deletionTimestamp"):
            return await self._leave(raw)
        raw = self._status.latest(raw)
        try:
            view = await self._gatherer.weights(raw)
        except ValidationError as error:
            await self._status.write(raw, invalid(raw, error, stamp(self._clock)), ("progress",))
            return Result()
        decision = decide_weights.decide(view)
        outcome = await carried_out(self._api, view.owner, decision.actions)
        wanted = status_weights.build(view, decision, outcome.failure, stamp(self._clock))
        await self._status.write(raw, wanted, ("progress",))
        return outcome.result(decision.requeue_after)

    async def _leave(self, raw: Object) -> Result:
        owner = owner_of(raw)
        if labels.FINALIZER not in raw["metadata"].get("finalizers", ()):
            return Result()
        # What is not complete serves nobody: held, it would neither be fetched nor made again.
        complete = bool(raw.get("status", {}).get("digest"))
        running = await self._caches.runners_of(raw)
        # Asked last: whoever has come while servers were looked through holds it as well.
        if complete and self._caches.users_of(owner.namespace, owner.name):
            return Result()
        if running:
            return Result(requeue_after=usage.RELEASE_POLL_SECONDS)
        off = SetFinalizer(owner.namespace, owner.name, owner.uid, present=False)
        await Applier(self._api, owner).run([off])
        return Result()


@dataclass(frozen=True)
class Outcome:
    """How the actions went: a refusal for a condition, or an error that a retry may cure."""

    failure: Failure | None = None
    error: ApiError | None = None
    # Children that were written, under the metadata that the server has answered.
    made: list[Object] = field(default_factory=list, compare=False)
    key: SecretView | None = field(default=None, compare=False)

    def result(self, requeue_after: float | None) -> Result:
        """What to ask of the controller, once the status is written; raises the error."""
        if self.error is not None:
            raise self.error
        return Result(requeue_after=self.failure.retry_seconds if self.failure else requeue_after)


async def carried_out(
    api: Api, owner: Owner, actions: Iterable[Action], write: Write = told
) -> Outcome:
    """Carry out actions. A server that fails keeps no status from being written.

    Raises TransportError, and Conflict at once: what was decided on is out of date.
    """
    applier = Applier(api, owner, write)
    try:
        return Outcome(await applier.run(actions), made=applier.made, key=applier.key)
    except Conflict:
        raise
    except ApiError as error:
        return Outcome(error=error, made=applier.made, key=applier.key)


def with_made(view: DeploymentView, made: list[Object]) -> DeploymentView:
    """The snapshot with children as they were just written: the status need not wait for the
    cache to tell of them, and is written once instead of twice."""
    if not made:
        return view
    written = {key: _over(view.children.get(key), obj) for key, obj in index(made).items()}
    return replace(view, children={**view.children, **written})


def _over(cached: Object | None, written: Object) -> Object:
    """What was written, and beside it what others have said of the same object."""
    if cached is None or "spec" not in written:
        return written
    return {**cached, **written, "spec": {**cached.get("spec", {}), **written["spec"]}}


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
