"""Both reconcilers on a cluster in memory, with crashes after any action.

A pass is what a reconcile does: snapshot, decide, act, write the status. `crash_after` cuts it
off as a killed process would, status unwritten.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llama_operator.api import labels
from llama_operator.api.template import (
    GROUP_SET,
    LLM_INFERENCE,
    OF_KSERVE,
    server_template,
)
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec, LlamaWeightsSpec
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import (
    adapters,
    canary,
    decide,
    decide_weights,
    listeners,
    mounts,
    revisions,
    rollout,
    sets,
    status,
    status_weights,
)
from llama_operator.reconcile.actions import Action, Failure
from llama_operator.reconcile.apply import Applier
from llama_operator.reconcile.devices import Devices
from llama_operator.reconcile.holders import Holder
from llama_operator.reconcile.listeners import Parent
from llama_operator.reconcile.ownership import index
from llama_operator.reconcile.packed import Squeezer
from llama_operator.reconcile.snapshot import (
    DeploymentView,
    Loading,
    SecretView,
    WeightsView,
    World,
    owner_of,
)
from llama_operator.render import adapters as copies
from llama_operator.render import secret
from llama_operator.render.weights import weights_name
from llama_operator.runtime.errors import ApiError
from tests.support.builders import COMMIT, DIGEST, SHAPE, world
from tests.support.kserve import played, played_llm
from tests.support.memory import Memory

Object = dict[str, Any]
STAMP = "2026-01-01T12:00:00Z"
BAD_WORDS = "vllm: error: unrecognized arguments: --seeed=1"
ACCESSIBLE = {
    "ok": True, "commit": COMMIT, "bytes": 16_060_556_376, "files": 12, "format": "safetensors",
    "shape": SHAPE,
}  # fmt: skip
ADAPTER = {
    "ok": True, "commit": COMMIT, "bytes": 84_000_000, "files": 2, "format": "lora",
    "adapter": {
        "rank": 8, "base": "meta-llama/Llama-3.1-8B-Instruct", "layers": 32,
        "modules": [{"name": "q_proj", "inputs": 4096, "outputs": 4096}],
    },
}  # fmt: skip
FETCHED = {**ACCESSIBLE, "digest": DIGEST}


def _as_cached(children: list[Object]) -> list[Object]:
    squeeze = Squeezer()
    return [
        revisions.slim(obj, squeeze) if obj["kind"] == revisions.KIND else obj for obj in children
    ]


class Simulation:
    """One LlamaDeployment, the weights it uses, and everything else in its namespace."""

    def __init__(self, memory: Memory, name: str = "web", env: World | None = None) -> None:
        self.memory, self.name, self.env = memory, name, env or world()
        self.pods: list[Object] = []
        self.asked: list[Action] = []
        # Who holds what of the nodes; None where that may not be known.
        self.holders: tuple[Holder, ...] | None = ()
        # Gateways that are there; None where that is not known yet.
        self.gateways: Mapping[Parent, Object] | None = None
        # Whether those of other namespaces may be seen.
        self.sees_gateways = True
        # What GPUs may be claimed of; None where that is not known.
        self.devices: Devices | None = None
        # What a canary does once it runs: it "answers", "starts" or "ends".
        self.canary = "answers"

    # -- snapshots --------------------------------------------------------------------------

    def deployment(self) -> DeploymentView:
        raw = self.memory.objects[("LlamaDeployment", self.name)]
        spec = LlamaDeploymentSpec.model_validate(raw["spec"])
        children = index(_as_cached(self._children(raw)))
        lying = {mounts.of_weights(self.memory.objects["LlamaWeights", n]) for n in self.copies}
        pods = [pod for pod in self.pods if "ownerReferences" not in pod["metadata"]]
        pods += [self._made(pod) for obj in children.values() for pod in _groups(obj)]
        followed, loaded = self._followers(children, pods)
        view = DeploymentView(
            raw=raw,
            adapters=self._adapters(),
            followed=followed,
            loaded=loaded,
            spec=spec,
            world=self.env,
            weights=self.memory.objects.get(("LlamaWeights", weights_name(spec))),
            copies=frozenset(lying & revisions.places(children.values())),
            children=children,
            predictor=self._predictor(),
            pods=sets.firsts(pods),
            ranks=sets.ranks(pods),
            canaries=self._canaries(children),
            key=self._key(spec),
            gateways=self._gateways(spec),
            devices=self.devices,
        )
        return replace(view, holders=self.holders) if rollout.counts(view) else view

    def _made(self, pod: Object) -> Object:
        """A pod as it is in the cluster by now; one of another template is replaced."""
        live = self.memory.objects.get(("Pod", pod["metadata"]["name"]))
        return live if live and stamp(live) == stamp(pod) else self.memory.put(pod)

    def _canaries(self, children: Mapping[tuple[str, str], Object]) -> tuple[Object, ...]:
        """The pod of a canary that has been played; it goes with what made it."""
        made = canary.among(children, self.name)
        if made is None or "status" not in made:
            return ()
        ended = {"terminated": {"exitCode": 2, "finishedAt": STAMP, "message": BAD_WORDS}}
        box = {"name": "engine", "image": "x:1", "state": ended if self.canary == "ends" else {}}
        ready = {"type": "Ready", "status": str(self.canary == "answers")}
        meta = {**server_template(made)["metadata"], "name": "c", "namespace": "default"}
        status = {"conditions": [ready], "containerStatuses": [box]}
        return ({"kind": "Pod", "metadata": {**meta, "uid": "uid-c"}, "status": status},)

    def _gateways(self, spec: LlamaDeploymentSpec) -> dict[Parent, Object | None] | None:
        there = self.gateways
        if there is None:
            return None
        named = listeners.parents(spec, "default")
        seen = [each for each in named if self.sees_gateways or each[0] == "default"]
        return {parent: there.get(parent) for parent in seen}

    def _predictor(self) -> Object | None:
        """The Deployment that KServe has made."""
        raw = self.memory.objects["LlamaDeployment", self.name]
        there = next(iter(sets.found(index(self._children(raw)), self.name)), None)
        if there is None or there["kind"] not in OF_KSERVE:
            return None
        return next(iter(self.memory.owned_by(there["metadata"]["uid"])), None)

    def _adapters(self) -> dict[str, Object]:
        return {
            name: self.memory.objects["LlamaWeights", name]
            for name in self.copies
            if self.memory.objects["LlamaWeights", name]["metadata"]
            .get("labels", {})
            .get(labels.DEPLOYMENT)
            == self.name
        }

    def _followers(
        self, children: Mapping[tuple[str, str], Object], pods: list[Object]
    ) -> tuple[tuple[Object, ...], dict[str, Loading]]:
        """Servers that follow the list of adapters as soon as it changes: of groups each first rank."""
        server = next(iter(sets.found(children, self.name)), None)
        claim = children.get(("PersistentVolumeClaim", f"{self.name}-adapters"), {})
        bound = claim.get("status", {}).get("phase") == "Bound"
        if not adapters.has_room(server) or not bound:
            return (), {}
        found = children.get(("ConfigMap", f"{self.name}-adapters"), {})
        listed = json.loads(found.get("data", {}).get("adapters.json", "{}"))
        single = ({"metadata": {"uid": "server"}},)
        grouped = server is not None and server["kind"] == GROUP_SET
        servers = sets.firsts(pods) if grouped else single
        return servers, {each["metadata"]["uid"]: Loading(loaded=listed) for each in servers}

    def _children(self, raw: Object) -> list[Object]:
        return self.memory.owned_by(raw["metadata"]["uid"])

    def _key(self, spec: LlamaDeploymentSpec) -> SecretView | None:
        if spec.auth.mode != "APIKey":
            return None
        name = secret.secret_name(self.name, spec)
        found = self.memory.objects.get(("Secret", name))
        if found is None:
            return SecretView(name)
        owners = {ref["uid"] for ref in found["metadata"].get("ownerReferences", ())}
        entries = {**found.get("data", {}), **found.get("stringData", {})}
        return SecretView(name, True, frozenset(entries), frozenset(owners))

    def weights(self, name: str) -> WeightsView:
        raw = self.memory.objects[("LlamaWeights", name)]
        asking, running = self._users(raw)
        spec = LlamaWeightsSpec.model_validate(raw["spec"])
        claim = spec.storage.claim_name if spec.storage else None
        placed = spec.source.claim if spec.source else None
        return WeightsView(
            raw=raw,
            spec=spec,
            named_claim=self.memory.objects.get(("PersistentVolumeClaim", claim or "")),
            source_claim=self.memory.objects.get(
                ("PersistentVolumeClaim", placed.name if placed else "")
            ),
            world=self.env,
            users=tuple(sorted(asking | running)),
            leaving=tuple(sorted(running - asking)),
            children=index(self._children(raw)),
            pods=tuple(self.pods),
        )

    def _users(self, raw: Object) -> tuple[set[str], set[str]]:
        found = self.memory.objects.get(("LlamaDeployment", self.name))
        if found is None:
            return set(), set()
        spec = LlamaDeploymentSpec.model_validate(found["spec"])
        servers = sets.found(index(self._children(found)), self.name)
        names = {weights_name(spec), *copies.names(self.name, spec.adapters)}
        asks = raw["metadata"]["name"] in names
        runs = any(mounts.of_weights(raw) in mounts.of_server(each) for each in servers)
        return {self.name} if asks else set(), {self.name} if runs else set()

    @property
    def copies(self) -> list[str]:
        return [name for kind, name in self.memory.objects if kind == "LlamaWeights"]

    # -- passes -----------------------------------------------------------------------------

    def serve(self, crash_after: int | None = None) -> None:
        """One pass over the deployment."""
        view = self.deployment()
        decision = decide.decide(view)
        failure = self._act(view.raw, decision.actions, crash_after)
        if crash_after is None:
            self._write(view.raw, status.build(view, decision, failure, STAMP))

    def fetch(self, crash_after: int | None = None) -> None:
        """One pass over each LlamaWeights."""
        for name in self.copies:
            view = self.weights(name)
            decision = decide_weights.decide(view)
            failure = self._act(view.raw, decision.actions, crash_after)
            if crash_after is None:
                self._write(view.raw, status_weights.build(view, decision, failure, STAMP))

    def _act(self, raw: Object, actions: list[Action], cut: int | None) -> Failure | None:
        self.asked = list(actions)
        applier = Applier(self.memory, owner_of(raw))  # type: ignore[arg-type]
        try:
            return asyncio.run(applier.run(actions if cut is None else actions[:cut]))
        except ApiError:
            return None  # tried again

    def _write(self, raw: Object, wanted: Object) -> None:
        live = self.memory.objects.get((raw["kind"], raw["metadata"]["name"]))
        if live is not None:
            progress = live.get("status", {}).get("progress")
            merged = {**wanted, **({"progress": progress} if progress else {})}
            if live.get("status") != merged:
                self.memory.put({**live, "status": merged})

    # -- the rest of the cluster ------------------------------------------------------------

    def play(self) -> None:
        """Jobs end well, claims are bound, servers become ready."""
        for obj in list(self.memory.objects.values()):
            ours = obj["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by")
            if ours and obj["kind"] in _PLAYED and _late(obj):
                self.memory.put({**obj, "status": _PLAYED[obj["kind"]](obj)})
                if obj["kind"] == "Job":
                    self.pods.append(_pod(obj))
        self._play_kserve()

    def _play_kserve(self) -> None:
        """KServe's Deployment follows its object, and is ready at once."""
        services = {
            obj["metadata"]["uid"]: obj
            for (kind, _), obj in self.memory.objects.items()
            if kind in OF_KSERVE
        }
        for key, obj in list(self.memory.objects.items()):
            owners = [
                ref
                for ref in obj["metadata"].get("ownerReferences", ())
                if ref["kind"] in OF_KSERVE
            ]
            if any(ref["uid"] not in services for ref in owners):
                del self.memory.objects[key]
        for service in services.values():
            self._play_one(service)

    def _play_one(self, service: Object) -> None:
        kserve = played_llm if service["kind"] == LLM_INFERENCE else played
        made = kserve.deployment(service)
        made["status"] = {**_server(made), "conditions": [{"type": "Available", "status": "True"}]}
        live = self.memory.objects.get(("Deployment", made["metadata"]["name"]))
        if live is None or (live["spec"], live.get("status")) != (made["spec"], made["status"]):
            self.memory.put(made)
        told = kserve.status(service, made)
        if service.get("status") != told:
            self.memory.put({**service, "status": told})

    def settle(self, rounds: int = 12) -> None:
        """Until nothing changes; fails when that never comes."""
        for _ in range(rounds):
            before = self.memory.picture()
            self.serve()
            self.fetch()
            self.play()
            if self.memory.picture() == before:
                return
        raise AssertionError("the world does not come to rest")


def _job(_obj: Object) -> Object:
    return {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": STAMP}]}


def _claim(obj: Object) -> Object:
    return {"phase": "Bound", "capacity": obj["spec"]["resources"]["requests"]}


def _server(obj: Object) -> Object:
    count = obj["spec"].get("replicas", 1)
    return {"replicas": count, "readyReplicas": count, "updatedReplicas": count}


def _route(obj: Object) -> Object:
    """A Gateway of each parent has accepted it."""
    said = [{"type": kind, "status": "True"} for kind in ("Accepted", "ResolvedRefs")]
    named = obj["spec"]["parentRefs"]
    return {"parents": [{"parentRef": each, "conditions": said} for each in named]}


_PLAYED = {
    "HTTPRoute": _route,
    "Job": _job,
    "PersistentVolumeClaim": _claim,
    "Deployment": _server,
    "LeaderWorkerSet": _server,
}


def _late(obj: Object) -> bool:
    """Whether its status is not of it: it has none, or is of other replicas."""
    told = obj.get("status", {})
    return not told or told.get("replicas") != obj["spec"].get("replicas", told.get("replicas"))


def _groups(obj: Object) -> list[Object]:
    """The pods of a LeaderWorkerSet that has been played, of its present template."""
    if obj["kind"] != "LeaderWorkerSet" or "status" not in obj:
        return []
    parts = obj["spec"]["leaderWorkerTemplate"]
    return [
        _of_group(parts["leaderTemplate" if rank == 0 else "workerTemplate"], number, rank)
        for number in range(obj["status"]["replicas"])
        for rank in range(parts["size"])
    ]


def _of_group(template: Object, number: int, rank: int) -> Object:
    meta = template["metadata"]
    name = f"web-{number}" + (f"-{rank}" if rank else "")
    own = {**meta["labels"], "leaderworkerset.sigs.k8s.io/group-index": str(number)}
    ready = [{"type": "Ready", "status": "True"}]
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": own,
            "annotations": meta["annotations"],
        },
        "status": {"phase": "Running", "conditions": ready},
    }


def _pod(job: Object) -> Object:
    fetches = "-fetch-" in job["metadata"]["name"]
    args = job["spec"]["template"]["spec"]["containers"][0]["args"]
    adapter = "--adapter" in args or "copy" in args
    what = {**ADAPTER, "digest": DIGEST} if adapter else FETCHED
    message = json.dumps(what if fetches or not adapter else ADAPTER)
    message = message if fetches or adapter else json.dumps(ACCESSIBLE)
    state = {"terminated": {"finishedAt": STAMP, "exitCode": 0, "message": message}}
    return {
        "metadata": {"name": "p", "ownerReferences": [{"uid": job["metadata"]["uid"]}]},
        "status": {"containerStatuses": [{"state": state}]},
    }
