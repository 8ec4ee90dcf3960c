"""What holds requests while a deployment has no replica: one small pod beside it.

It is of the deployment's own namespace and knows one deployment, so a request needs no address to
be told apart by, its rights end at that deployment, and the keys are mounted and never asked for.
"""

from __future__ import annotations

import math

from llama_operator.api import labels
from llama_operator.api.quantity import parse_duration
from llama_operator.api.v1alpha1 import DEPLOYMENT_PLURAL, GROUP
from llama_operator.render import access, flags, peers, probes, secret
from llama_operator.render.inputs import Object, Serving
from llama_operator.render.meta import metadata, selector, unscraped, unwatched_labels
from llama_operator.render.pod import PRESTOP_SECONDS, container_security, pod_security

PORT, ADMIN_PORT = 8790, 8791
KEYS = "/etc/llama-keys"
# Beyond a server's own start: until a node is there and the image is on it.
PLACING_SECONDS = 600


def name_of(serving: Serving) -> str:
    """Name of all its objects."""
    return f"{serving.owner.name}-activator"


def port_of(serving: Serving) -> int:
    """Where it takes requests; another one than the servers', which tells the two apart."""
    return PORT if flags.container_port(serving) != PORT else PORT + 2


def activity_url(serving: Serving) -> str:
    """Where KEDA asks whether somebody wants the servers."""
    return f"http://{name_of(serving)}.{serving.owner.namespace}.svc:{ADMIN_PORT}/activity"


def objects(serving: Serving, template: Object) -> list[Object]:
    """All its objects, rights first; `template` is that of the servers."""
    meta = metadata(serving.owner, name_of(serving), labels.ACTIVATOR)
    made = [*access.granted(meta, _rules(serving)), _service(serving, meta)]
    if serving.spec.endpoint.network_policy.enabled:
        made.append(_network_policy(serving, meta))
    return [*made, _deployment(serving, meta, template)]


def _rules(serving: Serving) -> list[Object]:
    """Read and scale the one deployment, and see which of its servers answer."""
    own = {"apiGroups": [GROUP], "resourceNames": [serving.owner.name]}
    return [
        {**own, "resources": [DEPLOYMENT_PLURAL], "verbs": ["get"]},
        {**own, "resources": [f"{DEPLOYMENT_PLURAL}/scale"], "verbs": ["get", "patch"]},
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["get", "list", "watch"],
        },
    ]


def _service(serving: Serving, meta: Object) -> Object:
    """For KEDA; requests come through the Service of the deployment."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {
            "type": "ClusterIP",
            "selector": selector(serving.owner, labels.ACTIVATOR),
            "ports": [
                {"name": "admin", "port": ADMIN_PORT, "targetPort": "admin", "protocol": "TCP"}
            ],
        },
    }


def _network_policy(serving: Serving, meta: Object) -> Object:
    settings = serving.settings
    watchers = [settings.keda_namespace, *settings.monitoring_namespaces]
    asking = peers.of_namespaces(filter(None, watchers))
    admin = [{"port": ADMIN_PORT, "protocol": "TCP"}]
    ingress: list[Object] = [
        {"from": peers.of(serving), "ports": [{"port": port_of(serving), "protocol": "TCP"}]}
    ]
    pods = {"matchLabels": selector(serving.owner, labels.ACTIVATOR)}
    asked = [{"from": asking, "ports": admin}] if asking else []
    return peers.policy(meta, pods, [*ingress, *asked])


def _deployment(serving: Serving, meta: Object, template: Object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": selector(serving.owner, labels.ACTIVATOR)},
            # The new one is there before the old one goes: a moment without would refuse requests.
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {
                "metadata": {"labels": _pod_labels(serving)},
                "spec": _pod(serving, template),
            },
        },
    }


def _pod_labels(serving: Serving) -> dict[str, str]:
    return {**unwatched_labels(serving.owner, labels.ACTIVATOR), **unscraped(serving.spec)}


def _pod(serving: Serving, template: Object) -> Object:
    volumes: list[Object] = [{"name": "tmp", "emptyDir": {}}]
    if serving.spec.auth.mode == "APIKey":
        name = secret.secret_name(serving.owner.name, serving.spec)
        # Without the Secret there are no keys, and nobody starts a server.
        keys: Object = {"secretName": name, "optional": True}
        volumes.append({"name": "keys", "secret": keys})
    settings = serving.settings
    runtime = settings.weights_runtime_class
    return {
        "serviceAccountName": name_of(serving),
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "securityContext": pod_security(settings.user_id),
        "terminationGracePeriodSeconds": PRESTOP_SECONDS + flags.drain_seconds(serving) + 10,
        "containers": [_container(serving, template, [each["name"] for each in volumes])],
        "volumes": volumes,
        **({"runtimeClassName": runtime} if runtime else {}),
    }


def _container(serving: Serving, template: Object, volumes: list[str]) -> Object:
    places = {"tmp": "/tmp", "keys": KEYS}  # noqa: S108 - an emptyDir of the pod's own
    return {
        "name": "activator",
        "image": serving.settings.activator_image,
        "command": ["llama-operator", "activator"],
        "args": _args(serving, template),
        "env": [{"name": "HOME", "value": places["tmp"]}],
        "ports": [
            {"name": "http", "containerPort": port_of(serving), "protocol": "TCP"},
            {"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"},
        ],
        "resources": {
            "requests": {"cpu": "50m", "memory": "128Mi"},
            "limits": {"memory": "512Mi"},
        },
        "securityContext": container_security(),
        "volumeMounts": [
            {
                "name": name,
                "mountPath": places[name],
                **({"readOnly": True} if name == "keys" else {}),
            }
            for name in volumes
        ],
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(PRESTOP_SECONDS)]}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "readinessProbe": _probe("/readyz", 2),
        "livenessProbe": _probe("/healthz", 10),
    }


def _probe(path: str, seconds: int) -> Object:
    return {"httpGet": {"path": path, "port": "admin"}, "periodSeconds": seconds}


def _args(serving: Serving, template: Object) -> list[str]:
    autoscaling = serving.spec.autoscaling
    idle = autoscaling.idle_after if autoscaling else "10m"
    seconds = max(1, math.ceil(parse_duration(idle, "spec.autoscaling.idleAfter")))
    keys = [f"--keys={KEYS}"] if serving.spec.auth.mode == "APIKey" else []
    return [
        f"--namespace={serving.owner.namespace}",
        f"--name={serving.owner.name}",
        "--host=",
        f"--port={port_of(serving)}",
        f"--admin-port={ADMIN_PORT}",
        f"--idle-after={seconds}",
        f"--hold-timeout={probes.allowed_seconds(template) + PLACING_SECONDS}",
        f"--drain-timeout={flags.drain_seconds(serving)}",
        *keys,
    ]
