"""Worlds for property tests: specs, what is there already, and pods in any trouble."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.planner.devices import slim_slice
from llama_operator.reconcile.devices import Devices
from llama_operator.render.weights import weights_name
from tests.support.builders import (
    deployment,
    gpu_node,
    merged,
    ready_weights,
    resource_slice,
    weights,
    world,
)
from tests.support.memory import Memory
from tests.support.simulation import Simulation

Object = dict[str, Any]

SPECS: list[Object] = [
    {},
    {"replicas": 0},
    {"replicas": 3, "disruption": {"maxUnavailable": "50%"}},
    {"paused": True},
    {"autoscaling": {}},
    {"autoscaling": {"minReplicas": 0, "targets": [{"metric": "TimeToFirstToken", "value": 900}]}},
    {"lora": {"enabled": True}},
    {"lora": {"enabled": True, "maxRank": 4}, "adapters": [
        {"name": "sql", "source": {"huggingFace": {"repo": "o/sql"}}},
    ]},
    {"lora": {"enabled": True}, "adapters": [
        {"name": "mine", "source": {"claim": {"name": "files", "path": "a"}}},
        {"name": "sql", "source": {"huggingFace": {"repo": "o/sql"}}},
    ]},
    {"endpoint": {"httpRoute": {"parentRefs": [{"name": "public"}], "hostnames": ["a.example"]}}},
    {"endpoint": {
        "routing": "PrefixAware",
        "httpRoute": {"parentRefs": [{"name": "public", "namespace": "infra"}]},
    }},
    {
        "endpoint": {"httpRoute": {"parentRefs": [{"name": "public"}]}},
        "engine": {"args": ["--seed=1"]}, "rollout": {"canaryPercent": 20},
    },
    {"endpoint": {"ingress": {"host": "a.example", "tlsSecretName": "tls"}}},
    {"gpu": {"count": 2}},
    {"gpu": {"product": "", "count": 4}},
    {"gpu": {"count": 3}},
    {"gpu": {"deviceClassName": "gpu.nvidia.com"}},
    {"gpu": {"deviceClassName": "gpu.nvidia.com"}, "engine": {"args": ["--seed=9"]}},
    {"model": "70b"},
    {"model": "llama-3.1-70b-instruct", "gpu": {"count": 8}, "sizing": {"maxModelLen": 8192}},
    {"model": "someone/llama-ft"},
    {"auth": {"mode": "None"}, "endpoint": {"networkPolicy": {"enabled": False}, "port": 80}},
    {"auth": {"secretName": "mine"}},
    {"weightsRef": {"name": "gone"}},
    {"storage": {"claimName": "shared"}},
    {"storage": {"storageClassName": "nope"}},
    {"storage": {"size": "1Gi"}},
    {"engine": {"device": "cpu", "image": "x:0.32.0", "env": [{"name": "HOME", "value": "/h"}]}},
    {"sizing": {"nodes": 2, "tensorParallel": 8}},
    {"sizing": {"nodes": 2, "tensorParallel": 8}, "storage": {"accessModes": ["ReadWriteMany"]}},
    {
        "sizing": {"nodes": 4, "tensorParallel": 8},
        "storage": {"accessModes": ["ReadWriteMany"]},
        "replicas": 2,
    },
    {"storage": {"accessModes": ["ReadWriteMany"]}, "rollout": {"strategy": "Surge"}},
    {"rollout": {"strategy": "Swap"}, "podMetadata": {"labels": {"a": "b"}}},
    {"rollout": {"allowDowntime": False, "historyLimit": 0}, "podMetadata": {"labels": {"a": "c"}}},
    {"scheduling": {"queueName": "team"}},
    {
        "scheduling": {"queueName": "team", "schedulerName": "volcano"}, "replicas": 2,
        "podMetadata": {"labels": {"kueue.x-k8s.io/queue-name": "other"}},
    },
    {"source": {"huggingFace": {"repo": "other/repo", "endpoint": "https://hub.example.com"}}},
    {"backend": "kserve"},
    {"backend": "kserve", "kserve": {"resource": "LLMInferenceService"}, "replicas": 2},
    {"backend": "kserve", "replicas": 2, "rollout": {"canaryPercent": 20, "strategy": "Surge"}},
]  # fmt: skip
OWNERLESS: list[Object] = [
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 1}]}},
    {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 9}},
    {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web-canary"}, "spec": {"replicas": 9}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web-api-key"}, "data": {"x": "y"}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine"}, "data": {"default": "y"}},
    {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"}, "spec": {"x": 1}},
    {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web"}, "spec": {"x": 1}},
    {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"}, "spec": {"x": 1}},
    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "shared"}, "spec": {"x": 1}},
]  # fmt: skip

# What a cluster may have or not.
KINDS = ("lws", "routes", "pools", "kueue")
GATEWAY: Object = {
    "listeners": [{"name": "web", "port": 443, "protocol": "HTTPS"}], "addresses": ["192.0.2.1"],
}  # fmt: skip

# What GPUs may be claimed of: not known, no such API, no class, and devices.
SLICES = (slim_slice(resource_slice("n1", 8)),)
DEVICES: list[Devices | None] = [
    None,
    Devices(served=False),
    Devices(),
    Devices(classes=frozenset({"gpu.nvidia.com"}), slices=SLICES),
    Devices(classes=frozenset({"gpu.nvidia.com"}), slices=SLICES),
]

specs = st.sampled_from(SPECS)
pairs = st.tuples(specs, specs).map(lambda two: merged(two[0], two[1]))


def _sane(spec: Object) -> bool:
    # Admission refuses these.
    endpoint, behind = spec.get("endpoint", {}), spec.get("backend") == "kserve"
    llm, canary = "kserve" in spec, spec.get("rollout", {}).get("canaryPercent", 0)
    asleep = spec.get("autoscaling", {}).get("minReplicas", 1) == 0
    several = spec.get("sizing", {}).get("nodes", 1) > 1
    prefixes = endpoint.get("routing") == "PrefixAware"
    tried = spec.get("rollout", {}).get("canaryPercent", 0) and not behind
    split = "httpRoute" in endpoint and not prefixes
    return not (
        (tried and (asleep or several or not split))
        or ("weightsRef" in spec and {"source", "storage"} & set(spec))
        or {"httpRoute", "ingress"} <= set(endpoint)
        or (asleep and prefixes)
        or (llm and (not behind or canary))
        or (behind and (asleep or several or prefixes or {"httpRoute", "ingress"} & set(endpoint)))
    )


@st.composite
def deployments(draw: st.DrawFn) -> Object:
    """A LlamaDeployment that admission lets through."""
    spec = draw(st.one_of(specs, pairs).filter(_sane))
    return deployment(meta={"generation": draw(st.integers(1, 3))}, **spec)


@st.composite
def memories(draw: st.DrawFn) -> Memory:
    """A namespace with a deployment, perhaps its weights, and objects of strangers."""
    raw = draw(deployments())
    there: list[Object] = [raw, *draw(st.lists(st.sampled_from(OWNERLESS), unique_by=_id))]
    ready = draw(st.sampled_from(["none", "new", "ready"]))
    spec = LlamaDeploymentSpec.model_validate(raw["spec"])
    if ready == "new" and spec.weights_ref:
        there.append(weights(weights_name(spec), model=raw["spec"]["model"]))
    elif ready == "ready":
        source = {key: raw["spec"][key] for key in ("source", "storage") if key in raw["spec"]}
        made = ready_weights(raw)
        made["spec"] = {"model": raw["spec"]["model"], **source}
        there.append(made)
    memory = Memory(there)
    for obj in memory.objects.values():
        obj["metadata"].setdefault("namespace", "default")
    return memory


def _id(obj: Object) -> tuple[str, str]:
    return obj["kind"], obj["metadata"]["name"]


@st.composite
def aged(draw: st.DrawFn) -> Simulation:
    """A world at any moment: some passes done, the spec edited since, children edited or gone."""
    simulation = Simulation(draw(memories()))
    simulation.holders = draw(st.sampled_from([None, ()]))
    nodes = draw(st.sampled_from([world().nodes, (gpu_node(),)]))
    kinds = {name: draw(st.sampled_from([("v1",), ("v1",), None])) for name in KINDS}
    kserve = draw(st.sampled_from([("v1beta1",), ("v1beta1",), None]))
    llm = draw(st.sampled_from([("v1alpha2",), ("v1alpha2",), None]))
    simulation.env = world(nodes=nodes, kserve=kserve, llm_kserve=llm, **kinds)
    simulation.gateways = draw(st.sampled_from([None, {}, {("infra", "public"): GATEWAY}]))
    simulation.sees_gateways = draw(st.booleans())
    simulation.devices = draw(st.sampled_from(DEVICES))
    for _ in range(draw(st.integers(0, 8))):
        move = draw(st.sampled_from(["serve", "fetch", "play", "edit", "lose", "bend"]))
        _MOVES[move](simulation, draw)
    return simulation


def _edit(simulation: Simulation, draw: st.DrawFn) -> None:
    raw = simulation.memory.objects[("LlamaDeployment", simulation.name)]
    number = raw["metadata"]["generation"] + 1
    edited = draw(deployments())
    simulation.memory.put(
        {**raw, "spec": edited["spec"], "metadata": {**raw["metadata"], "generation": number}}
    )


def _lose(simulation: Simulation, draw: st.DrawFn) -> None:
    child = _child(simulation, draw)
    if child is not None:
        del simulation.memory.objects[(child["kind"], child["metadata"]["name"])]


def _bend(simulation: Simulation, draw: st.DrawFn) -> None:
    child = _child(simulation, draw)
    if child is not None and child["kind"] in ("Service", "NetworkPolicy"):
        simulation.memory.put({**child, "spec": {"ports": []}})


def _child(simulation: Simulation, draw: st.DrawFn) -> Object | None:
    raw = simulation.memory.objects[("LlamaDeployment", simulation.name)]
    children = simulation.memory.owned_by(raw["metadata"]["uid"])
    return draw(st.sampled_from(children)) if children else None


_MOVES: dict[str, Any] = {
    "serve": lambda simulation, _: simulation.serve(),
    "fetch": lambda simulation, _: simulation.fetch(),
    "play": lambda simulation, _: simulation.play(),
    "edit": _edit,
    "lose": _lose,
    "bend": _bend,
}

# -- claimed GPUs ---------------------------------------------------------------------------------

CLAIMED: list[Object] = [
    {"gpu": {"deviceClassName": "gpu.nvidia.com"}},
    {"gpu": {"deviceClassName": "gpu.nvidia.com", "count": 2}},
    {"gpu": {"deviceClassName": "gpu.nvidia.com"}, "engine": {"args": ["--seed=1"]}},
    {"gpu": {"deviceClassName": "gpu.nvidia.com"}, "backend": "kserve"},
    {"gpu": {"count": 2}},
]


def _claim(simulation: Simulation, draw: st.DrawFn) -> None:
    raw = simulation.memory.objects[("LlamaDeployment", simulation.name)]
    meta = {**raw["metadata"], "generation": raw["metadata"]["generation"] + 1}
    spec = deployment(**draw(st.sampled_from(CLAIMED)))["spec"]
    simulation.memory.put({**raw, "spec": spec, "metadata": meta})


@st.composite
def claiming(draw: st.DrawFn) -> Simulation:
    """Servers that claim their GPUs, in one way and another, and do not, at any moment."""
    raw = deployment(**draw(st.sampled_from(CLAIMED)))
    simulation = Simulation(Memory([raw]), env=world(nodes=(gpu_node(),), kserve=("v1beta1",)))
    simulation.devices = DEVICES[-1]
    simulation.settle()
    moves = {**_MOVES, "edit": _claim}
    for _ in range(draw(st.integers(1, 9))):
        move = draw(st.sampled_from(["serve", "serve", "fetch", "play", "edit", "lose"]))
        moves[move](simulation, draw)
    return simulation


# -- canaries -----------------------------------------------------------------------------------

ROUTED: Object = {
    "endpoint": {"httpRoute": {"parentRefs": [{"name": "public"}]}},
    "storage": {"accessModes": ["ReadWriteMany"]},
}
TRIED: list[Object] = [
    merged(ROUTED, spec)
    for spec in (
        {"rollout": {"canaryPercent": 20}},
        {"rollout": {"canaryPercent": 60}, "engine": {"args": ["--seed=1"]}},
        {"rollout": {"canaryPercent": 60}, "engine": {"args": ["--seed=2"]}, "replicas": 3},
        {"rollout": {"canaryPercent": 20}, "engine": {"args": ["--seed=1"]}},
        {"rollout": {"canaryPercent": 0}, "engine": {"args": ["--seed=1"]}},
        {"rollout": {"canaryPercent": 100, "strategy": "Swap"}, "engine": {"args": ["--seed=2"]}},
        {"rollout": {"canaryPercent": 20}, "replicas": 0, "engine": {"args": ["--seed=3"]}},
        {"rollout": {"canaryPercent": 20}, "paused": True, "engine": {"args": ["--seed=4"]}},
        {"rollout": {"canaryPercent": 20}, "lora": {"enabled": True}},
        {"rollout": {"canaryPercent": 20, "automaticRollback": False, "historyLimit": 0},
         "engine": {"args": ["--seed=5"]}, "compileCache": {"storage": {}}},
        {"rollout": {"canaryPercent": 0}},
    )
]  # fmt: skip


def _try(simulation: Simulation, draw: st.DrawFn) -> None:
    raw = simulation.memory.objects[("LlamaDeployment", simulation.name)]
    meta = {**raw["metadata"], "generation": raw["metadata"]["generation"] + 1}
    spec = deployment(**draw(st.sampled_from(TRIED)))["spec"]
    simulation.memory.put({**raw, "spec": spec, "metadata": meta})


def _fare(simulation: Simulation, draw: st.DrawFn) -> None:
    simulation.canary = draw(st.sampled_from(["answers", "starts", "ends"]))


@st.composite
def tried(draw: st.DrawFn) -> Simulation:
    """Servers that have proven good, and after that changes that are tried, at any moment."""
    raw = deployment(**draw(st.sampled_from(TRIED)))
    simulation = Simulation(Memory([raw]), env=world(nodes=(gpu_node(),), routes=("v1",)))
    simulation.holders, simulation.gateways = draw(st.sampled_from([None, ()])), {}
    simulation.settle()
    moves = {**_MOVES, "edit": _try, "fare": _fare}
    for move in draw(
        st.sampled_from([(), ("edit", "serve", "play"), ("edit", "serve", "play", "serve")])
    ):
        moves[move](simulation, draw)
    for _ in range(draw(st.integers(1, 9))):
        move = draw(st.sampled_from(["serve", "serve", "play", "edit", "edit", "fare", "lose"]))
        moves[move](simulation, draw)
    return simulation


# -- pods ---------------------------------------------------------------------------------------

WAITING = ("ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError", "CrashLoopBackOff")
ENDINGS = (
    {"exitCode": 137, "reason": "OOMKilled"},
    {"exitCode": 1, "reason": "Error", "message": "ValueError: heads (9) not divisible by 2"},
    {"exitCode": 0, "reason": "Completed"},
)


@st.composite
def pods(draw: st.DrawFn) -> Object:
    """A server's pod in some trouble, or none; what moves by itself is in `shaken` only."""
    container: Object = {"image": "x:1", "ready": draw(st.booleans()), "state": {}}
    if draw(st.booleans()):
        container["state"] = {"waiting": {"reason": draw(st.sampled_from(WAITING))}}
    if draw(st.booleans()):
        container["lastState"] = {"terminated": draw(st.sampled_from(ENDINGS))}
    conditions = []
    if draw(st.booleans()):
        text = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
        conditions = [{"type": "PodScheduled", "reason": "Unschedulable", "message": text}]
    status = {"conditions": conditions, "containerStatuses": [container]}
    return {"metadata": {"name": "web-1"}, "status": status}


@st.composite
def shaken(draw: st.DrawFn, troubled: list[Object]) -> list[Object]:
    """The same pods a while later: other names, ages, counts, back-offs and order."""
    found = []
    for pod in troubled:
        moved = merged(pod, {"metadata": {"name": draw(st.text("abc", min_size=3, max_size=5))}})
        for container in moved["status"]["containerStatuses"]:
            container["restartCount"] = draw(st.integers(0, 99))
            if "Pull" in container["state"].get("waiting", {}).get("reason", ""):
                container["state"]["waiting"]["message"] = f"back-off {draw(st.integers(1, 300))}s"
            if "terminated" in container.get("lastState", {}):
                container["lastState"]["terminated"]["finishedAt"] = str(draw(st.integers(1, 60)))
        found.append(moved)
    return draw(st.permutations(found))
