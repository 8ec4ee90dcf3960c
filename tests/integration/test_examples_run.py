"""Every example is run: applied beside the operator, until servers of it answer.

Where another controller makes the servers, until the object is there that it makes them of. Only the
kubelet is played, and what the Jobs find.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.played import Kubelet
from tests.support import gateway, kserve, kueue, lws
from tests.support.builders import COMMIT, DEFAULT_CLASS, DIGEST, SMOLLM2, SMOLLM2_BYTES
from tests.support.cluster import Cluster
from tests.support.hub.meta import signed
from tests.support.stack import OPERATOR, Stack, wait_for

from llama_operator.api import labels
from llama_operator.catalog.catalog import load

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
Object = dict[str, Any]
EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 90.0
CATALOG = load()
ADAPTER: Object = {"rank": 8, "base": "", "layers": 32}
ADAPTER |= {"modules": [{"name": "q_proj", "inputs": 4096, "outputs": 4096}]}
ELSEWHERE = {
    "llama-3.1-405b": "leaderworkerset",
    "llama-3.1-8b-kserve": "inferenceservice",
    "llama-3.1-8b-llminferenceservice": "llminferenceservice",
}
GROUPS = {
    "PriorityClass": "scheduling.k8s.io/v1",
    "RuntimeClass": "node.k8s.io/v1",
    "Gateway": "gateway.networking.k8s.io/v1",
    "DeviceClass": "resource.k8s.io/v1",
}
LISTENER: Object = {"name": "https", "port": 443, "protocol": "HTTPS"}
LISTENER |= {"tls": {"certificateRefs": [{"name": "certificate"}]}}
META = "https://llama3-1.llamameta.net"
REFUSED = ("smollm2-two-ranks",)


def secret(name: str, key: str, text: str = "-") -> Object:
    return {**named("Secret", name), "stringData": {key: text}}


def claim(name: str) -> Object:
    asked = {"requests": {"storage": "500Gi"}}
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": "standard", "resources": asked}
    return {**named("PersistentVolumeClaim", name), "spec": spec}


def named(kind: str, name: str, **meta: str) -> Object:
    return {
        "apiVersion": GROUPS.get(kind, "v1"),
        "kind": kind,
        "metadata": {"name": name, **meta},
    }


# What the examples' comments tell their reader to have.
THERE = [
    DEFAULT_CLASS,
    secret("hf-token", "token"),
    secret("hub-example-com", "token"),
    secret("meta-url", "url", signed(META, f"{META}/*")),
    secret("llama-keys", "team-a"),
    *(claim(name) for name in ("models", "fine-tunings", "compiled")),
    {**named("ConfigMap", "hub-example-com"), "data": {"ca.crt": "-"}},
    {**named("PriorityClass", "inference"), "value": 1000},
    *({**named("RuntimeClass", name), "handler": name} for name in ("nvidia", "host-python")),
    {**named("DeviceClass", "gpu.nvidia.com"), "spec": {}},
    named("Namespace", "infra"),
    {
        **named("Gateway", "public", namespace="infra"),
        "spec": {"gatewayClassName": "played", "listeners": [LISTENER]},
    },
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A control plane with the definitions of others, and the operator beside it."""
    with Cluster.control_plane(tmp_path_factory.mktemp("examples") / "cluster") as cluster:
        made = Stack(cluster)
        made.install()
        cluster.processes.stop(["kube-scheduler"])
        lws.define(cluster)
        kserve.define(cluster)
        kserve.define_llm(cluster)
        kueue.define(cluster)
        gateway.define(cluster, gateway.GATEWAYS, gateway.ROUTES, gateway.POOLS)
        items = {"apiVersion": "v1", "kind": "List", "items": THERE}
        cluster.kubectl("apply", "-f", "-", input=json.dumps(items))
        made.start_operator("https://hub.invalid", "--weights-runtime-class=")
        yield made


class Played:
    """The kubelet, a provisioner, and what Jobs find of the copy that they are for."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.kubelet = stack, Kubelet(stack)
        self.bound: set[str] = set()

    def step(self) -> None:
        """Each claim gets a volume; each pod that has done nothing so far does what it is for."""
        for each in self.stack.list("persistentvolumeclaims"):
            if each["status"]["phase"] == "Pending" and each["metadata"]["uid"] not in self.bound:
                self.bound.add(each["metadata"]["uid"])
                self._bind(each)
        for pod in self.stack.list("pods", "default"):
            if pod["status"].get("phase") == "Pending" and "conditions" not in pod["status"]:
                self._run(pod)

    def _run(self, pod: Object) -> None:
        known = pod["metadata"]["labels"]
        if known[labels.COMPONENT] in (labels.SERVER, labels.PICKER):
            self.kubelet.answer(pod)
        elif labels.WEIGHTS in known:
            told = found(self.stack.get("llamaweights", known[labels.WEIGHTS])["spec"])
            whole = {} if known[labels.COMPONENT] == labels.PREFLIGHT else {"digest": DIGEST}
            self.kubelet.finish(pod, {**told, **whole})
        else:
            self.kubelet.finish(pod, {"ok": True})

    def _bind(self, claim: Object) -> None:
        """A volume for exactly this claim."""
        meta, spec = claim["metadata"], claim["spec"]
        volume = {
            "accessModes": spec["accessModes"],
            "capacity": spec["resources"]["requests"],
            "storageClassName": spec["storageClassName"],
            "hostPath": {"path": "/nowhere"},
            "claimRef": {"namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]},
        }
        made = {**named("PersistentVolume", meta["uid"]), "spec": volume}
        self.stack.cluster.kubectl("apply", "-f", "-", input=json.dumps(made))


def found(spec: Object) -> Object:
    """What a Job would say of the files."""
    told: Object = {"ok": True, "commit": COMMIT, "files": 12}
    if spec.get("adapter"):
        return {**told, "bytes": 84_000_000, "format": "lora", "adapter": ADAPTER}
    model = CATALOG.find(spec["model"])
    size = model.weights_bytes if model else SMOLLM2_BYTES
    return {**told, "bytes": size, "format": "safetensors", "shape": SMOLLM2}


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_runs(stack: Stack, path: Path) -> None:
    played, objects = Played(stack), [*yaml.safe_load_all(path.read_text())]
    stack.cluster.kubectl("apply", "-f", str(path))
    try:
        for raw in objects:
            wait_until(played, raw, path.stem)
    finally:
        stack.cluster.kubectl("delete", "llamas,llamaweights", "--all", "--wait=false")
        wait_for(lambda: gone(played), 60, "the example to go")


def wait_until(played: Played, raw: Object, stem: str) -> None:
    kind, name = raw["kind"], raw["metadata"]["name"]

    def reached() -> bool:
        played.step()
        if kind == "LlamaDeployment" and stem in ELSEWHERE:
            return bool(played.stack.list(ELSEWHERE[stem]))
        wanted = ("Planned", "False") if stem in REFUSED else ("Ready", "True")
        return played.stack.condition(kind, name, wanted[0]).get("status") == wanted[1]

    try:
        wait_for(reached, SECONDS, f"{kind} {name}")
    except TimeoutError as error:
        told = json.dumps(played.stack.get(kind, name).get("status"), indent=1)
        pytest.fail(f"{error}\n{told}\n{played.stack.log(OPERATOR)[-2000:]}", pytrace=False)


def gone(played: Played) -> bool:
    """A Job that removes files has to end first."""
    played.step()
    return not any(played.stack.list(kind) for kind in ("llamas", "llamaweights", "pods"))
