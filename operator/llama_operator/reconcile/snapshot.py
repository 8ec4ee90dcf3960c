"""Everything a decision looks at, gathered first, from caches where there is one."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from llama_operator.api import labels, signed_url
from llama_operator.api.signed_url import SignedUrl, UrlRefused
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec, LlamaWeightsSpec
from llama_operator.catalog.catalog import Catalog
from llama_operator.diagnose.events import Events
from llama_operator.diagnose.queues import Workloads
from llama_operator.diagnose.startup import Told
from llama_operator.planner.devices import as_nodes
from llama_operator.reconcile import sets
from llama_operator.reconcile.devices import Devices
from llama_operator.reconcile.holders import Holder
from llama_operator.reconcile.listeners import Parent
from llama_operator.reconcile.sizing import Verdict
from llama_operator.render.inputs import Owner, Settings

Object = dict[str, Any]
# Between two looks at the log of one server that starts.
FOLLOW_SECONDS = 30.0


@dataclass(frozen=True)
class SecretView:
    """What may be known of a Secret: whether it is there, whose it is, and its entries' names."""

    name: str
    exists: bool = False
    entries: frozenset[str] = frozenset()
    owner_uids: frozenset[str] = frozenset()
    owner_names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, found: Object) -> SecretView:
        """Of a Secret as the API server gives it."""
        meta = found["metadata"]
        owners = meta.get("ownerReferences", ())
        uids = frozenset(ref.get("uid", "") for ref in owners)
        names = frozenset(ref["name"] for ref in owners if ref["kind"] == "LlamaDeployment")
        return cls(meta["name"], True, frozenset(found.get("data") or {}), uids, names)


@dataclass(frozen=True)
class UrlView:
    """What a Secret holds as Meta's signed URL: the URL as read, or why it cannot be."""

    name: str
    exists: bool = False
    entries: frozenset[str] = frozenset()
    url: SignedUrl | None = None
    refused: UrlRefused | None = None

    def reading(self, encoded: str) -> UrlView:
        """With what an entry of the Secret says, in base64 as the API server gives it."""
        try:
            text = base64.b64decode(encoded).decode(errors="replace")
            return replace(self, url=signed_url.read(text))
        except UrlRefused as refused:
            return replace(self, refused=refused)
        except ValueError:
            return self


@dataclass(frozen=True)
class World:
    """What is the same for every object: catalogue, settings, nodes, classes, the time."""

    catalog: Catalog
    settings: Settings
    nodes: tuple[Object, ...]
    storage_classes: tuple[Object, ...]
    now: datetime
    # Versions of keda.sh in which ScaledObjects are served; None: KEDA is not installed.
    keda: tuple[str, ...] | None = None
    quotas: tuple[Object, ...] = ()
    # Versions of LeaderWorkerSet that are served; None: it is not installed.
    lws: tuple[str, ...] | None = None
    # The same of KServe's InferenceService, and of its LLMInferenceService.
    kserve: tuple[str, ...] | None = None
    llm_kserve: tuple[str, ...] | None = None
    # Likewise of HTTPRoute and of InferencePool.
    routes: tuple[str, ...] | None = None
    pools: tuple[str, ...] | None = None
    # And of Kueue's Workload.
    kueue: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Start:
    """How the start of a server goes: its phase, "" while unknown, and how long it is silent."""

    phase: str
    silent_seconds: float


# The directory of an adapter on the volume of a deployment.
Place = str


@dataclass(frozen=True)
class Loading:
    """What a server has said of its adapters: name -> directory, and name -> why it is not loaded."""

    loaded: Mapping[str, Place] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DeploymentView:
    """A LlamaDeployment and all that belongs to it."""

    raw: Object
    spec: LlamaDeploymentSpec
    world: World
    weights: Object | None = None
    # Of the places that kept revisions mount, those where a copy lies.
    copies: frozenset[str] = frozenset()
    children: Mapping[tuple[str, str], Object] = field(default_factory=dict)
    # The Deployment that KServe has made of our object, and its Service.
    predictor: Object | None = None
    entry: Object | None = None
    # Pods that take requests, and the other ranks of those that are groups.
    pods: tuple[Object, ...] = ()
    ranks: tuple[Object, ...] = ()
    # Pods of a revision that is tried beside the others.
    canaries: tuple[Object, ...] = ()
    # Pods that bring images to the nodes of servers.
    pulls: tuple[Object, ...] = ()
    # Who holds what of the nodes, where a rollout is about to begin and that may be known.
    holders: tuple[Holder, ...] | None = None
    # Of pods whose container ended, the end of its log, by the UID of the pod.
    logs: Mapping[str, str] = field(default_factory=dict)
    # Of pods that wait to be started, what Kubernetes says of them.
    events: Events = field(default_factory=dict)
    # Of pods that a queue holds back, what Kueue says of them.
    queued: Workloads = field(default_factory=dict)
    # Of pods that start, how that goes, by the UID of the pod.
    starts: Mapping[str, Start] = field(default_factory=dict)
    # A pod that serves, and what it told on the way, where the status has not that of one yet.
    told: tuple[Object, Told] | None = None
    # What an hour of life says of its size; None while it says nothing.
    sizing: Verdict | None = None
    key: SecretView | None = None
    # The claim of the copy, where the user has named one.
    claim: Object | None = None
    # What GPUs may be claimed of; None where nobody asks, or it is not known yet.
    devices: Devices | None = None
    # The Gateways of the spec, None for one that is not there; without those that we may not see.
    # None where that is not known yet.
    gateways: Mapping[Parent, Object | None] | None = None
    # The LlamaWeights of adapters that were made for it, by name.
    adapters: Mapping[str, Object] = field(default_factory=dict)
    # Servers that answer and have room for adapters, and what they have said, by the pod's UID.
    followed: tuple[Object, ...] = ()
    loaded: Mapping[str, Loading] = field(default_factory=dict)
    # When servers are to be asked again; None: they have said all that is waited for.
    adapters_again: float | None = None

    @cached_property
    def owner(self) -> Owner:
        """The owner of the children."""
        return owner_of(self.raw)

    @cached_property
    def nodes(self) -> tuple[Object, ...]:
        """The cluster's nodes, with the GPUs that this deployment asks for, however it does."""
        named = self.spec.gpu.device_class_name
        if not named or self.devices is None:
            return self.world.nodes
        return as_nodes(self.world.nodes, self.devices.slices, named)

    @cached_property
    def server(self) -> Object | None:
        """What makes the servers' pods, in the form of a Deployment; None while nothing does."""
        there = sets.found(self.children, self.owner.name)
        told = self.raw.get("status", {}).get("revision", {})
        seen = sets.Seen(self.pods, self.predictor, told, self.world.now)
        return sets.as_server(there[0], seen) if there else None

    @cached_property
    def leaving(self) -> Object | None:
        """What made the servers' pods before another kind of object came to do so."""
        there = sets.found(self.children, self.owner.name)
        return there[1] if len(there) > 1 else None

    @property
    def measured_speed(self) -> float:
        """Bytes a second at which this copy was loaded the last time; 0 where it never was."""
        status, copy = self.raw.get("status", {}), (self.weights or {}).get("status", {})
        seconds = status.get("coldStart", {}).get("loadSeconds", 0)
        same = copy.get("digest") and copy["digest"] == status.get("weights", {}).get("digest")
        return copy.get("bytes", 0) / seconds if same and seconds else 0.0


@dataclass(frozen=True)
class WeightsView:
    """A LlamaWeights and all that belongs to it."""

    raw: Object
    spec: LlamaWeightsSpec
    world: World
    users: tuple[str, ...] = ()
    # Of the users those that ask for another copy by now, but still run from this one.
    leaving: tuple[str, ...] = ()
    # Those that could go back to it by a revision that they keep.
    keepers: tuple[str, ...] = ()
    children: Mapping[tuple[str, str], Object] = field(default_factory=dict)
    pods: tuple[Object, ...] = ()
    # Of Jobs, pods and claims that wait, what Kubernetes says of them.
    events: Events = field(default_factory=dict)
    # Of Jobs that are suspended, what Kueue says of them.
    queued: Workloads = field(default_factory=dict)
    token: SecretView | None = None
    # The claim that spec.storage.claimName names, where it names one.
    named_claim: Object | None = None
    # The claim of spec.source.claim, where there is one.
    source_claim: Object | None = None
    # What the Secret with Meta's URL holds, for a source that needs one.
    url: UrlView | None = None

    @property
    def owner(self) -> Owner:
        """The owner of the children."""
        return owner_of(self.raw)

    @property
    def queue(self) -> str:
        """The queue of Kueue that its Jobs are to wait in; "" for none."""
        return str(self.raw["metadata"].get("labels", {}).get(labels.QUEUE, ""))

    @property
    def status(self) -> Object:
        """The status as it was last written."""
        return dict(self.raw.get("status", {}))


def owner_of(raw: Object) -> Owner:
    """The identity of a custom resource."""
    meta = raw["metadata"]
    return Owner(raw["kind"], meta["namespace"], meta["name"], meta["uid"])
