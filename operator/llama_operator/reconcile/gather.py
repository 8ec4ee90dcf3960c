"""Takes snapshots: caches first; a Secret or a claim that somebody else made is read by name."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace

from llama_operator.api.template import OF_KSERVE
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec, LlamaWeightsSpec
from llama_operator.catalog.catalog import Catalog
from llama_operator.diagnose.template import of_template
from llama_operator.reconcile import (
    adapters,
    canary,
    holders,
    reach,
    resources,
    revisions,
    rollout,
    sets,
    specs,
    volume,
)
from llama_operator.reconcile.adapter_logs import AdapterLogs
from llama_operator.reconcile.caches import Caches
from llama_operator.reconcile.complaints import Complaints
from llama_operator.reconcile.holders import Holder
from llama_operator.reconcile.ownership import index
from llama_operator.reconcile.podlogs import PodLogs
from llama_operator.reconcile.queues import Queues
from llama_operator.reconcile.recent import keep
from llama_operator.reconcile.sizing import Verdict, told
from llama_operator.reconcile.snapshot import (
    DeploymentView,
    Object,
    SecretView,
    UrlView,
    WeightsView,
    World,
)
from llama_operator.reconcile.startlogs import StartLogs, answering
from llama_operator.render import secret
from llama_operator.render.inputs import Settings
from llama_operator.render.weights import weights_name
from llama_operator.runtime.api import Api
from llama_operator.runtime.clock import Clock
from llama_operator.runtime.errors import Forbidden, NotFound
from llama_operator.runtime.resource import Resource

log = logging.getLogger(__name__)

# In which a new deployment is looked at several times, as what it was made of comes to be.
MADE_SECONDS = 10.0
MADE = 1024


class Gatherer:
    """Snapshots of both kinds."""

    def __init__(
        self,
        api: Api,
        caches: Caches,
        catalog: Catalog,
        settings: Settings,
        clock: Clock,
        sizing: Callable[[Object], Verdict | None] = told,
    ) -> None:
        self._api = api
        self._caches = caches
        self._catalog = catalog
        self._settings = settings
        self._clock = clock
        self._sizing = sizing
        self._logs = PodLogs(api)
        self._starts = StartLogs(api, clock)
        self._adapters = AdapterLogs(api, clock)
        # UIDs without a status so far. A retry must not begin with the same call as the one before:
        # where every third call fails, it would always be the same one.
        self._met: set[str] = set()
        # Keys that were just made, and until when nobody asks whether they are there.
        self._made: OrderedDict[tuple[str, str], tuple[SecretView, float]] = OrderedDict()
        self._complaints = Complaints(api, clock)
        self._queues = Queues(api, clock)

    def world(self) -> World:
        """What is the same for every object."""
        return World(
            catalog=self._catalog,
            settings=self._settings,
            nodes=tuple(self._caches.nodes.store.list()),
            storage_classes=tuple(self._caches.classes.store.list()),
            now=self._clock.now(),
            keda=self._caches.keda.versions,
            quotas=tuple(self._caches.quotas.store.list()),
            lws=self._caches.lws.versions,
            routes=self._caches.routes.versions,
            pools=self._caches.pools.versions,
            kserve=self._caches.kserve.versions,
            llm_kserve=self._caches.llm_kserve.versions,
            kueue=self._caches.kueue.versions,
        )

    async def deployment(self, raw: Object) -> DeploymentView:
        """A LlamaDeployment with its children, pods, weights and key.

        Raises pydantic.ValidationError for a spec that the schema should have refused.
        """
        spec = specs.deployments.of(raw)
        meta = raw["metadata"]
        namespace, name = meta["namespace"], meta["name"]
        weights = self._caches.weights.store.get(namespace, weights_name(spec))
        pods = self._caches.pods_of("LlamaDeployment", namespace, name)
        children = index(self._caches.children_of(meta["uid"]))
        kserves = self._by_kserve(children, name)
        servers, canaries = sets.firsts(pods), sets.canaries(pods)
        of_servers = [pod for pod in pods if not sets.is_canary(pod)]
        current = of_template(of_servers, next(iter(sets.found(children, name)), None))
        tried = of_template(canaries, canary.among(children, name))
        view = DeploymentView(
            raw=raw,
            spec=spec,
            world=self.world(),
            weights=weights,
            copies=self._caches.present(revisions.places(children.values())),
            children=children,
            predictor=kserves.get(resources.SERVERS.kind),
            entry=kserves.get(resources.SERVICES.kind),
            pods=servers,
            ranks=sets.ranks(pods),
            canaries=canaries,
            pulls=self._caches.pulls_of(namespace, name),
            logs=await self._logs.of(pods),
            events=await self._complaints.of([*current, *tried]),
            queued=await self._queues.of(self._caches.kueue.versions, [*current, *tried]),
            starts=await self._starts.follow([*servers, *canaries]),
            told=await self._starts.told(sets.firsts(current), _known(raw)),
            sizing=self._sizing(raw),
            key=await self._key(raw, spec),
            claim=await self._claim_of_copy(namespace, weights),
            gateways=self._caches.gateways_of(spec, namespace),
        )
        view = await self._with_adapters(view, current, tried)
        return replace(view, holders=await self._holders()) if rollout.counts(view) else view

    def _by_kserve(
        self, children: Mapping[tuple[str, str], Object], name: str
    ) -> dict[str, Object]:
        """By kind what KServe has made: it carries our labels, so caches hold it."""
        there = next(iter(sets.found(children, name)), None)
        if there is None or there["kind"] not in OF_KSERVE:
            return {}
        return {obj["kind"]: obj for obj in self._caches.children_of(there["metadata"]["uid"])}

    async def _with_adapters(
        self, view: DeploymentView, current: list[Object], tried: list[Object]
    ) -> DeploymentView:
        """What servers say of adapters, where they have room for some; `tried`: a canary's pods."""
        owner = view.owner
        found = self._caches.adapters_of(owner.namespace, owner.name)
        view = replace(view, adapters=found)
        # The other ranks of a group have what the first one has.
        made = ((view.server, sets.firsts(current)), (canary.made(view), tried))
        roomy = [pods for server, pods in made if adapters.has_room(server)]
        if not roomy:
            return view
        servers = tuple(pod for pods in roomy for pod in pods if answering(pod))
        believed = adapters.believed(view, len(servers))
        wanted = adapters.places(view)
        told = await self._adapters.follow(owner.uid, servers, wanted, believed)
        return replace(view, followed=servers, loaded=told.loaded, adapters_again=told.again)

    async def _holders(self) -> tuple[Holder, ...] | None:
        """All pods that hold something of a node; None where those of others may not be listed."""
        try:
            found = await self._api.list(
                resources.PODS,
                field_selector=holders.ON_NODES,
                shape=lambda pod: {"holder": holders.holder(pod)},
            )
        except Forbidden as refusal:
            log.info("free GPUs cannot be counted: %s", refusal.message)
            return None
        return tuple(each["holder"] for each in found)

    async def _claim_of_copy(self, namespace: str, weights: Object | None) -> Object | None:
        name = reach.claim_name(weights) if weights else ""
        return await self._find(resources.CLAIMS, namespace, name) if name else None

    async def _key(self, raw: Object, spec: LlamaDeploymentSpec) -> SecretView | None:
        if spec.auth.mode != "APIKey":
            return None
        meta = raw["metadata"]
        name = secret.secret_name(meta["name"], spec)
        if not spec.auth.secret_name and self._first_look(raw):
            # Making it tells as well whether it is there.
            return SecretView(name)
        made, until = self._made.get((meta["uid"], name), (None, 0.0))
        if made is not None and self._clock.monotonic() < until:
            return made
        return await self._secret(meta["namespace"], name)

    def made(self, uid: str, key: SecretView) -> None:
        """Take note of a key that was just made for the deployment with this UID."""
        keep(self._made, (uid, key.name), (key, self._clock.monotonic() + MADE_SECONDS), MADE)

    def _first_look(self, raw: Object) -> bool:
        """Whether this is a new object that was not looked at before; true once per object."""
        uid = raw["metadata"]["uid"]
        if raw.get("status"):
            self._met.discard(uid)
            return False
        first = uid not in self._met
        self._met.add(uid)
        return first

    async def _secret(self, namespace: str, name: str) -> SecretView:
        found = await self._find(resources.SECRETS, namespace, name)
        return SecretView(name) if found is None else SecretView.of(found)

    async def _find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        try:
            return await self._api.get(resource, namespace, name)
        except NotFound:
            return None

    async def weights(self, raw: Object) -> WeightsView:
        """A LlamaWeights with its children, pods and users.

        Raises pydantic.ValidationError for a spec that the schema should have refused.
        """
        spec = specs.weights.of(raw)
        meta = raw["metadata"]
        namespace, name = meta["namespace"], meta["name"]
        running = _alive(await self._caches.runners_of(raw))
        wanted = _alive(self._caches.users_of(namespace, name))
        # Whoever could go back to it matters only where nobody has it.
        keepers = [] if wanted or running else await self._caches.keepers_of(raw)
        pods = self._caches.pods_of("LlamaWeights", namespace, name)
        children = index(self._caches.children_of(meta["uid"]))
        waiting = () if _done(raw) else (*pods, *children.values())
        return WeightsView(
            raw=raw,
            spec=spec,
            world=self.world(),
            users=tuple(sorted(wanted | running)),
            leaving=tuple(sorted(running - wanted)),
            keepers=tuple(sorted(_alive(keepers))),
            children=children,
            pods=pods,
            events=await self._complaints.of(waiting),
            queued=await self._queues.of(self._caches.kueue.versions, children.values()),
            token=await self._token(namespace, spec, raw),
            named_claim=await self._claim(namespace, volume.storage_claim(spec), raw),
            source_claim=await self._claim(namespace, volume.source_claim(spec), raw),
            url=await self._url(namespace, spec, raw),
        )

    async def _token(
        self, namespace: str, spec: LlamaWeightsSpec, raw: Object
    ) -> SecretView | None:
        source = spec.source.hugging_face if spec.source else None
        if _done(raw) or source is None or source.token_secret_ref is None:
            return None
        return await self._secret(namespace, source.token_secret_ref.name)

    async def _claim(self, namespace: str, name: str, raw: Object) -> Object | None:
        if _done(raw) or not name:
            return None
        return await self._find(resources.CLAIMS, namespace, name)

    async def _url(self, namespace: str, spec: LlamaWeightsSpec, raw: Object) -> UrlView | None:
        source = spec.source.meta if spec.source else None
        if source is None or _done(raw):
            return None
        reference = source.url_secret_ref
        found = await self._find(resources.SECRETS, namespace, reference.name)
        if found is None:
            return UrlView(reference.name)
        data = found.get("data") or {}
        view = UrlView(reference.name, True, frozenset(data))
        return view.reading(data[reference.key]) if reference.key in data else view


def _known(raw: Object) -> str:
    return str(raw.get("status", {}).get("coldStart", {}).get("pod", ""))


def _done(raw: Object) -> bool:
    return bool(raw.get("status", {}).get("digest"))


def _alive(users: list[Object]) -> set[str]:
    metas = [user["metadata"] for user in users]
    return {meta["name"] for meta in metas if not meta.get("deletionTimestamp")}
