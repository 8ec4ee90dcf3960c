"""The server's pod: vLLM under Pod Security `restricted`, with a read-only root.

Three writable places are enough, each an emptyDir: /tmp (sockets, HOME), /dev/shm (the
container default of 64 MiB stops vLLM at start) and the compile cache. The weights are mounted
read-only, and only their own directory of the claim.
"""

from __future__ import annotations

from collections.abc import Iterable

from llama_operator.api import labels
from llama_operator.api.quantity import format_bytes
from llama_operator.render import (
    adapting,
    compile_cache,
    devices,
    env,
    flags,
    guarding,
    outward,
    probes,
    resources,
    transformers,
)
from llama_operator.render.inputs import Object, Serving
from llama_operator.render.meta import child_labels, digest, unscraped

CONTAINER = "engine"
# Volume of the copy.
WEIGHTS = "weights"
PRESTOP_SECONDS = 5
# vLLM ends its workers within 15 s after the last request.
ENGINE_EXIT_SECONDS = 15


def model_dir(serving: Serving) -> str:
    """Where the container sees the weights."""
    return "/models/" + serving.spec.model.rsplit("/", 1)[-1]


def template(serving: Serving) -> Object:
    """The pod template of a server."""
    user = serving.spec.pod_metadata
    own = {
        **child_labels(serving.owner, labels.SERVER),
        labels.VOLUME: volume_label(serving.weights.claim),
    }
    meta: Object = {"labels": {**_users_labels(serving), **own, **unscraped(serving.spec)}}
    carried = {**guarding.carried(serving), **adapting.carried(serving), **devices.carried(serving)}
    meta["annotations"] = {**user.annotations, **carried, **compile_cache.carried(serving)}
    return {"metadata": meta, "spec": _pod_spec(serving)}


def _users_labels(serving: Serving) -> dict[str, str]:
    """Without a queue of their own where the spec names one: Kueue would write that over it."""
    every = serving.spec.pod_metadata.labels
    named = serving.spec.scheduling.queue_name
    return {key: value for key, value in every.items() if not (named and key == labels.QUEUE)}


def _pod_spec(serving: Serving) -> Object:
    spec = serving.spec
    pod: Object = {
        "automountServiceAccountToken": False,
        # A Service named "vllm" would set VLLM_PORT, which vLLM reads.
        "enableServiceLinks": False,
        "securityContext": pod_security(serving.settings.user_id),
        "terminationGracePeriodSeconds": grace_seconds(serving),
        "containers": [_container(serving)],
        "volumes": _volumes(serving),
        "tolerations": resources.tolerations(serving.spec),
    }
    keepers = compile_cache.keepers(serving, container_security())
    pod |= {"initContainers": keepers} if keepers else {}
    pod |= {**devices.in_pod(serving), **_placement(serving)}
    return {**pod, **_pull_secrets(spec.engine.image_pull_secrets)}


def pod_security(user_id: int) -> Object:
    """The pod's half of Pod Security `restricted`.

    Without a user id of ours the cluster gives one, with its group: images must then not depend
    on who they run as.
    """
    own = {"runAsUser": user_id, "runAsGroup": user_id, "fsGroup": user_id} if user_id else {}
    return {
        "runAsNonRoot": True,
        **own,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Object:
    """The container's half of Pod Security `restricted`, and a read-only root."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def grace_seconds(serving: Serving) -> int:
    """Seconds from SIGTERM to SIGKILL: preStop, drain and the engine's own exit."""
    return PRESTOP_SECONDS + flags.drain_seconds(serving) + ENGINE_EXIT_SECONDS


def _container(serving: Serving) -> Object:
    port = flags.container_port(serving)
    return {
        "name": CONTAINER,
        "image": serving.image,
        **_program(serving),
        "env": [*env.server_env(serving), *compile_cache.engine_env(serving)],
        "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
        "resources": resources.engine_resources(serving),
        "securityContext": container_security(),
        "volumeMounts": _mounts(serving),
        # The endpoint must be gone everywhere before SIGTERM: a draining vLLM answers 500.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(PRESTOP_SECONDS)]}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **probes.probes(serving),
    }


def _program(serving: Serving) -> Object:
    directory = model_dir(serving)
    if serving.spec.engine.type == "transformers":
        return transformers.program(serving, directory)
    return {"command": ["vllm", "serve"], "args": flags.server_args(serving, directory)}


def _mounts(serving: Serving) -> list[Object]:
    return [
        {
            "name": WEIGHTS,
            "mountPath": model_dir(serving),
            "subPath": serving.weights.path,
            "readOnly": True,
        },
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod's own
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
        {"name": "cache", "mountPath": env.CACHE_DIR},
        *guarding.mounts(serving),
        *adapting.mounts(serving),
        *outward.ca_mounts(serving.settings.ca_bundle),
    ]


def _volumes(serving: Serving) -> list[Object]:
    claim = {"claimName": serving.weights.claim, "readOnly": True}
    shm = format_bytes(serving.plan.host.shm_bytes)
    return [
        {"name": WEIGHTS, "persistentVolumeClaim": claim},
        {"name": "tmp", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": shm}},
        {"name": "cache", "emptyDir": {}},
        *guarding.volumes(serving),
        *adapting.volumes(serving),
        *compile_cache.volumes(serving),
        *outward.ca_volumes(serving.settings.ca_bundle),
    ]


def _placement(serving: Serving) -> Object:
    spec, scheduling = serving.spec, serving.spec.scheduling
    wanted: Object = {
        "nodeSelector": resources.node_selector(spec, serving.plan.gpu_product),
        "affinity": _affinity(serving),
        "topologySpreadConstraints": resources.spread(serving),
        "priorityClassName": scheduling.priority_class_name,
        "schedulerName": scheduling.scheduler_name,
        "runtimeClassName": spec.runtime_class_name,
    }
    return {key: value for key, value in wanted.items() if value}


def volume_label(claim: str) -> str:
    """The label of pods that mount a claim."""
    return digest({"claim": claim})


def _affinity(serving: Serving) -> Object:
    """The user's, and beside other pods with the claim where only one node can mount it.

    Kubernetes lets the first such pod go anywhere: its own labels fulfil the term.
    """
    user = serving.spec.scheduling.affinity
    together = [*_beside_the_copy(serving), *compile_cache.one_node(serving)]
    if not together:
        return dict(user)
    pods = dict(user.get("podAffinity", {}))
    terms = [*pods.get("requiredDuringSchedulingIgnoredDuringExecution", ()), *together]
    pods["requiredDuringSchedulingIgnoredDuringExecution"] = terms
    return {**user, "podAffinity": pods}


def _beside_the_copy(serving: Serving) -> list[Object]:
    if not serving.weights.one_node:
        return []
    volume = {"matchLabels": {labels.VOLUME: volume_label(serving.weights.claim)}}
    return [{"labelSelector": volume, "topologyKey": "kubernetes.io/hostname"}]


def _pull_secrets(secrets: Iterable[Object]) -> Object:
    found = list(secrets)
    return {"imagePullSecrets": found} if found else {}
