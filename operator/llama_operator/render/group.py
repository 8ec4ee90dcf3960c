"""A server over several nodes: one LeaderWorkerSet, each group of which is a replica.

vLLM joins its ranks by itself. Only the first one takes requests; the others have no port, never end
when the first one does, and wait for ever for one that was replaced. So a group starts anew as a whole
(RecreateGroupOnPodRestart), and its pods share one stamp: they are of one template in two parts.
"""

from __future__ import annotations

from llama_operator.api import labels
from llama_operator.api.template import GROUP_SET, SIZE, WORKER
from llama_operator.render import flags, guarding, peers, pod
from llama_operator.render.inputs import Object, Replacing, Serving
from llama_operator.render.meta import digest, metadata, selector, selector_of

API_VERSION = "leaderworkerset.x-k8s.io/v1"
_MODEL = "LLAMA_CANARY_MODEL"
# While the first rank drains it needs the others; once its port is closed nobody does.
_UNTIL_CLOSED = """\
import os, socket, time
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    try:
        socket.create_connection((os.environ["LWS_LEADER_ADDRESS"], {port}), 2).close()
    except OSError:
        break
    time.sleep(1)
"""


def template(serving: Serving) -> Object:
    """The template of a group: that of its first rank, with that of all others, and how many."""
    whole = pod.template(serving)
    parts: Object = {**_first(serving, whole), WORKER: _other(serving, whole)}
    parts[SIZE] = serving.plan.nodes
    stamp = digest(parts, 16)
    return {**_with_stamp(parts, stamp), WORKER: _with_stamp(parts[WORKER], stamp)}


def _with_stamp(part: Object, stamp: str) -> Object:
    meta = part["metadata"]
    annotations = {**meta.get("annotations", {}), labels.INTENT_HASH: stamp}
    return {**part, "metadata": {**meta, "annotations": annotations}}


def _first(serving: Serving, whole: Object) -> Object:
    name = {"name": _MODEL, "value": flags.served_name(serving)}
    (engine,) = whole["spec"]["containers"]
    spec = {**whole["spec"], "containers": [{**engine, "env": [name, *engine["env"]]}]}
    return {"metadata": whole["metadata"], "spec": spec}


def _other(serving: Serving, whole: Object) -> Object:
    """A rank without a port: no probe, no guard, no key."""
    meta = dict(whole["metadata"])
    meta["labels"] = {**meta["labels"], labels.COMPONENT: labels.WORKER}
    closed = guarding.carried(serving)
    kept = {name: text for name, text in meta["annotations"].items() if name not in closed}
    ours = guarding.names(serving)
    spec = dict(whole["spec"])
    spec["containers"] = [_rank(serving, each, ours) for each in spec["containers"]]
    spec["volumes"] = [each for each in spec["volumes"] if each["name"] not in ours]
    return {"metadata": {**meta, "annotations": kept}, "spec": spec}


def _rank(serving: Serving, engine: Object, guards: set[str]) -> Object:
    probes = ("startupProbe", "readinessProbe", "livenessProbe", "ports")
    rank = {name: value for name, value in engine.items() if name not in probes}
    closed = {each["name"] for each in guarding.env(serving)}
    return {
        **rank,
        "args": flags.worker_args(serving, pod.model_dir(serving)),
        "env": [each for each in engine["env"] if each["name"] not in closed],
        "volumeMounts": [each for each in engine["volumeMounts"] if each["name"] not in guards],
        "lifecycle": {"preStop": {"exec": {"command": ["python3", "-c", _wait(serving)]}}},
    }


def _wait(serving: Serving) -> str:
    seconds = pod.PRESTOP_SECONDS + flags.drain_seconds(serving)
    return _UNTIL_CLOSED.format(seconds=seconds, port=flags.container_port(serving))


def group_set(serving: Serving, template: Object, how: Replacing) -> Object:
    """The LeaderWorkerSet. Groups find each other by a headless Service of their own: one for all
    would have the name of the deployment, which is that of its Service."""
    bare = {name: template[name] for name in ("metadata", "spec")}
    return {
        "apiVersion": API_VERSION,
        "kind": GROUP_SET,
        "metadata": set_metadata(serving, how),
        "spec": {
            "replicas": serving.spec.replicas,
            "startupPolicy": "LeaderCreated",
            "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
            "rolloutStrategy": {
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": {
                    "partition": 0,
                    "maxSurge": how.surge,
                    "maxUnavailable": how.unavailable,
                },
            },
            "leaderWorkerTemplate": {
                "size": template[SIZE],
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": bare,
                "workerTemplate": template[WORKER],
            },
        },
    }


def set_metadata(serving: Serving, how: Replacing) -> Object:
    """Metadata of what makes the servers' pods: with how they are replaced, and Kueue's queue."""
    meta = metadata(serving.owner, serving.owner.name, labels.SERVER)
    queue = serving.spec.scheduling.queue_name
    if queue:
        meta["labels"] = {**meta["labels"], labels.QUEUE: queue}
    return {**meta, "annotations": {labels.ROLLOUT: how.record}} if how.record else meta


# -- between ranks --------------------------------------------------------------------------------


def members(serving: Serving) -> Object:
    """A selector of all ranks of all groups."""
    return selector_of(serving.owner, labels.SERVER, labels.WORKER)


def from_members(serving: Serving) -> Object:
    """A rule of a NetworkPolicy: ranks talk on ports that they choose at random."""
    return {"from": [{"podSelector": members(serving)}]}


def policy(serving: Serving) -> Object:
    """The NetworkPolicy of ranks without a port: nobody but their group may connect."""
    meta = metadata(serving.owner, f"{serving.owner.name}-workers", labels.WORKER)
    pods = {"matchLabels": selector(serving.owner, labels.WORKER)}
    return peers.policy(meta, pods, [from_members(serving)])
