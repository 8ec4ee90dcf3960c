"""Takes snapshots: caches first; a Secret or a claim that somebody else made is read by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from llama_operator.api.template import OF_KSERVE
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec, LlamaWeightsSpec
from llama_operator.catalog.catalog import Catalog
from llama_operator.diagnose.template import of_template
from llama_operator.reconcile import (
    adapters,
    canary,
    holdings,
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
from llama_operator.reconcile.devices import Devices
from llama_operator.reconcile.keys import Keys, secret_of
from llama_operator.reconcile.ownership import index
from llama_operator.reconcile.podlogs import PodLogs
from llama_operator.reconcile.queues import Queues
from llama_operator.reconcile.reading import present
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
from llama_operator.render.claim import users_claim
from llama_operator.render.inputs import Settings
from llama_operator.render.weights import weights_name
from llama_operator.runtime.api import Api
from llama_operator.runtime.clock import Clock


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
        self.keys = Keys(api, clock)
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
            key=await self.keys.of(raw, spec),
            claim=await self._claim_of_copy(namespace, weights),
            devices=await self._devices(spec, children),
            gateways=self._caches.gateways_of(spec, namespace),
            adapters=self._caches.adapters_of(namespace, name),
        )
        view = await self._with_adapters(view, current, tried)
        if not rollout.counts(view):
            return view
        return replace(view, holders=await holdings.of(self._api, claimed=view.devices is not None))

    async def _devices(
        self, spec: LlamaDeploymentSpec, children: Mapping[tuple[str, str], Object]
    ) -> Devices | None:
        """What devices may be claimed, where this deployment does so, or did."""
        claims = any(kind == resources.CLAIM_TEMPLATES.kind for kind, _ in children)
        wanted = bool(spec.gpu.device_class_name) or claims
        return await self._caches.devices.known() if wanted else None

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
        # The other ranks of a group have what the first one has.
        made = ((view.server, sets.firsts(current)), (canary.made(view), tried))
        roomy = [pods for server, pods in made if adapters.has_room(server)]
        if not roomy:
            return view
        servers = tuple(pod for pods in roomy for pod in pods if answering(pod))
        believed = adapters.believed(view, len(servers))
        wanted = adapters.places(view)
        told = await self._adapters.follow(view.owner.uid, servers, wanted, believed)
        return replace(view, followed=servers, loaded=told.loaded, adapters_again=told.again)

    async def _claim_of_copy(self, namespace: str, weights: Object | None) -> Object | None:
        name = reach.claim_name(weights) if weights else ""
        return await present(self._api, resources.CLAIMS, namespace, name) if name else None

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
            named_claim=await self._claim(namespace, users_claim(spec.storage), raw),
            source_claim=await self._claim(namespace, volume.source_claim(spec), raw),
            url=await self._url(namespace, spec, raw),
        )

    async def _token(
        self, namespace: str, spec: LlamaWeightsSpec, raw: Object
    ) -> SecretView | None:
        source = spec.source.hugging_face if spec.source else None
        if _done(raw) or source is None or source.token_secret_ref is None:
            return None
        return await secret_of(self._api, namespace, source.token_secret_ref.name)

    async def _claim(self, namespace: str, name: str, raw: Object) -> Object | None:
        if _done(raw) or not name:
            return None
        return await present(self._api, resources.CLAIMS, namespace, name)

    async def _url(self, namespace: str, spec: LlamaWeightsSpec, raw: Object) -> UrlView | None:
        source = spec.source.meta if spec.source else None
        if source is None or _done(raw):
            return None
        reference = source.url_secret_ref
        found = await present(self._api, resources.SECRETS, namespace, reference.name)
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
