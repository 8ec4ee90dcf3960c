"""What leads requests from outside to the servers: a route of a Gateway, or an Ingress.

Only /v1 leads in. The servers' own port answers /metrics and /health to whoever connects, and tells
with them how busy a deployment is and which adapters it has; that is for the cluster.
"""

from __future__ import annotations

from llama_operator.api import labels
from llama_operator.api.v1alpha1_endpoint import IngressSpec, ParentRef
from llama_operator.api.wire import as_dict
from llama_operator.render import canary, picker
from llama_operator.render.flags import container_port
from llama_operator.render.inputs import Object, Serving
from llama_operator.render.meta import metadata, selector

ROUTE_GROUP, ROUTE_VERSION = "gateway.networking.k8s.io", "v1"
POOL_GROUP, POOL_VERSION = "inference.networking.k8s.io", "v1"
PATH = "/v1"


def objects(serving: Serving) -> list[Object]:
    """All of them, as far as they are wanted and the cluster has their kinds; the route last."""
    made = [*picker.objects(serving), _pool(serving)] if serving.gateway.pool else []
    if serving.gateway.route:
        made.append(_route(serving))
    wanted = serving.spec.endpoint.ingress
    if wanted is not None and wanted.host:
        made.append(_ingress(serving, wanted))
    return made


def _route(serving: Serving) -> Object:
    wanted, owner = serving.spec.endpoint.http_route, serving.owner
    parents = wanted.parent_refs if wanted else ()
    hosts = {"hostnames": list(wanted.hostnames)} if wanted and wanted.hostnames else {}
    return {
        "apiVersion": f"{ROUTE_GROUP}/{ROUTE_VERSION}",
        "kind": "HTTPRoute",
        "metadata": metadata(owner, owner.name, labels.SERVER),
        "spec": {
            "parentRefs": [_parent(each) for each in parents],
            **hosts,
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": PATH}}],
                    "backendRefs": _backends(serving),
                    # An answer streams for as long as it is: where a gateway cuts it off after its
                    # own 15 seconds, what was computed is lost.
                    "timeouts": {"request": "0s"},
                }
            ],
        },
    }


def _parent(reference: ParentRef) -> Object:
    return {"group": ROUTE_GROUP, "kind": "Gateway", **as_dict(reference)}


def _backends(serving: Serving) -> list[Object]:
    """Where it leads: to the servers, and with a canary that answers its share to that."""
    name = serving.owner.name
    if serving.gateway.pool:
        return [{"group": POOL_GROUP, "kind": "InferencePool", "name": name, "weight": 1}]
    share = serving.canary.percent if serving.canary else 0
    if not share:
        return [_service(serving, name, 1)]
    return [_service(serving, name, 100 - share), _service(serving, canary.name_of(name), share)]


def _service(serving: Serving, name: str, weight: int) -> Object:
    port = serving.spec.endpoint.port
    return {"group": "", "kind": "Service", "name": name, "port": port, "weight": weight}


def _pool(serving: Serving) -> Object:
    owner = serving.owner
    return {
        "apiVersion": f"{POOL_GROUP}/{POOL_VERSION}",
        "kind": "InferencePool",
        "metadata": metadata(owner, owner.name, labels.SERVER),
        "spec": {
            "selector": {"matchLabels": selector(owner, labels.SERVER)},
            "targetPorts": [{"number": container_port(serving)}],
            "endpointPickerRef": {
                "group": "",
                "kind": "Service",
                "name": picker.name_of(serving),
                "port": {"number": picker.PORT},
                # Any server can answer any request: without a choice it only takes longer.
                "failureMode": "FailOpen",
            },
        },
    }


def _ingress(serving: Serving, wanted: IngressSpec) -> Object:
    owner = serving.owner
    service = {"name": owner.name, "port": {"number": serving.spec.endpoint.port}}
    path = {"path": PATH, "pathType": "Prefix", "backend": {"service": service}}
    spec: Object = {"rules": [{"host": wanted.host, "http": {"paths": [path]}}]}
    if wanted.class_name:
        spec["ingressClassName"] = wanted.class_name
    if wanted.tls_secret_name:
        spec["tls"] = [{"hosts": [wanted.host], "secretName": wanted.tls_secret_name}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(owner, owner.name, labels.SERVER),
        "spec": spec,
    }
