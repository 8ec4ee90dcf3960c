"""What chooses the server of each request for a gateway: the endpoint picker of Gateway API.

It is a program of the Gateway API inference extension and not ours: it reads the servers' metrics,
remembers which of them has which beginning of a prompt in its cache, and tells the gateway's proxy.
One of it per pool is how it is built; more of them would each remember a part.
"""

from __future__ import annotations

import json

from llama_operator.api import labels
from llama_operator.render import access, peers
from llama_operator.render.inputs import Object, Serving
from llama_operator.render.meta import metadata, selector, unwatched_labels
from llama_operator.render.pod import container_security, pod_security

PORT, HEALTH_PORT, METRICS_PORT = 9002, 9003, 9090
# It has one stream for each request that is under way.
GRACE_SECONDS = 130
_READ = ["get", "list", "watch"]
# How much each look at a server counts. A prefix that is in a cache saves more than a short queue.
_SCORERS = {"queue-scorer": 2, "kv-cache-utilization-scorer": 2, "prefix-cache-scorer": 3}
_OF_ADAPTERS = {"lora-affinity-scorer": 2}


def name_of(serving: Serving) -> str:
    """Name of all its objects."""
    return f"{serving.owner.name}-picker"


def objects(serving: Serving) -> list[Object]:
    """All its objects, rights first."""
    meta = metadata(serving.owner, name_of(serving), labels.PICKER)
    made = [*access.granted(meta, _rules(serving)), _service(serving, meta)]
    if serving.spec.endpoint.network_policy.enabled:
        made.append(_network_policy(serving, meta))
    return [*made, _deployment(serving, meta)]


def _rules(serving: Serving) -> list[Object]:
    """Read the one pool and the pods, and what the extension lets others say of requests."""
    own = {"apiGroups": ["inference.networking.k8s.io"], "resourceNames": [serving.owner.name]}
    others = {"apiGroups": ["inference.networking.x-k8s.io"]}
    return [
        {**own, "resources": ["inferencepools"], "verbs": _READ},
        {"apiGroups": [""], "resources": ["pods"], "verbs": _READ},
        # Watched wherever they are defined, or it does not start.
        {**others, "resources": ["inferenceobjectives", "inferencemodelrewrites"], "verbs": _READ},
    ]


def _service(serving: Serving, meta: Object) -> Object:
    port = {"name": "grpc-ext-proc", "port": PORT, "targetPort": "grpc", "protocol": "TCP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {
            "type": "ClusterIP",
            "selector": selector(serving.owner, labels.PICKER),
            "ports": [port],
        },
    }


def _network_policy(serving: Serving, meta: Object) -> Object:
    asking = peers.of_namespaces(peers.gateways(serving))
    scraping = peers.of_namespaces(serving.settings.monitoring_namespaces)
    metrics = [{"port": METRICS_PORT, "protocol": "TCP"}]
    ingress: list[Object] = [{"from": asking, "ports": [{"port": PORT, "protocol": "TCP"}]}]
    pods = {"matchLabels": selector(serving.owner, labels.PICKER)}
    scraped = [{"from": scraping, "ports": metrics}] if scraping else []
    return peers.policy(meta, pods, [*ingress, *scraped])


def _deployment(serving: Serving, meta: Object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": selector(serving.owner, labels.PICKER)},
            # Two would choose by different memories; while there is none, gateways choose.
            "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": _pod_labels(serving)}, "spec": _pod(serving)},
        },
    }


def _pod_labels(serving: Serving) -> dict[str, str]:
    return {**unwatched_labels(serving.owner, labels.PICKER), labels.SCRAPED: "false"}


def _pod(serving: Serving) -> Object:
    return {
        "serviceAccountName": name_of(serving),
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "securityContext": pod_security(serving.settings.user_id),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [_container(serving)],
    }


def _container(serving: Serving) -> Object:
    ports = {"grpc": PORT, "health": HEALTH_PORT, "metrics": METRICS_PORT}
    probe = {"grpc": {"port": HEALTH_PORT, "service": "inference-extension"}}
    return {
        "name": "picker",
        "image": serving.settings.picker_image,
        "args": _args(serving),
        "ports": [
            {"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()
        ],
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"memory": "2Gi"},
        },
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "readinessProbe": {**probe, "periodSeconds": 2},
        "livenessProbe": {**probe, "initialDelaySeconds": 5, "periodSeconds": 10},
    }


def _args(serving: Serving) -> list[str]:
    return [
        f"--pool-name={serving.owner.name}",
        f"--pool-namespace={serving.owner.namespace}",
        f"--config-text={json.dumps(_config(serving), separators=(',', ':'))}",
        f"--grpc-port={PORT}",
        f"--grpc-health-port={HEALTH_PORT}",
        f"--metrics-port={METRICS_PORT}",
        # It would need rights in the whole cluster to ask who scrapes; the policy says who may.
        "--metrics-endpoint-auth=false",
        "--enable-pprof=false",
        "--tracing=false",
        "--zap-encoder=json",
    ]


def _config(serving: Serving) -> Object:
    scorers = {**_SCORERS, **(_OF_ADAPTERS if serving.spec.lora.enabled else {})}
    weighed = [{"pluginRef": name, "weight": weight} for name, weight in scorers.items()]
    return {
        "apiVersion": "inference.networking.x-k8s.io/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": [{"type": name} for name in scorers],
        "schedulingProfiles": [{"name": "default", "plugins": weighed}],
    }
