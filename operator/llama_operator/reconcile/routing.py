"""The way in from outside: what can be made of it, where it leads, and what is missing: pure.

What is missing stops nothing: servers are made and serve inside the cluster, a route without an
InferencePool leads to the Service until there is one, and `Degraded` says what to install.
"""

from __future__ import annotations

from collections.abc import Iterator

from llama_operator.api import labels
from llama_operator.api.conditions import find
from llama_operator.reconcile import listeners, resources
from llama_operator.reconcile.actions import Action
from llama_operator.reconcile.lacking import lacking, serves
from llama_operator.reconcile.listeners import Address
from llama_operator.reconcile.ownership import delete
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.render.inputs import Served
from llama_operator.render.routes import PATH
from llama_operator.runtime.resource import Resource

_RELEASES = "kubectl apply --server-side -f https://github.com/kubernetes-sigs"
INSTALL_ROUTES = f"{_RELEASES}/gateway-api/releases/download/v1.4.0/standard-install.yaml"
INSTALL_POOLS = (
    f"{_RELEASES}/gateway-api-inference-extension/releases/download/v1.5.0/manifests.yaml"
)
_MISSING = "DependencyMissing"
_KINDS = ("HTTPRoute", "InferencePool", "Ingress")
# What a Gateway says of each route, and of each pool that one leads to.
_JUDGED = ("Accepted", "ResolvedRefs")
# Gateways that were never there come with no event that tells so, once their kind is installed.
_LOOK_SECONDS = 5.0


def served(view: DeploymentView) -> Served:
    """Which of the kinds that the spec asks for can be made."""
    endpoint, world = view.spec.endpoint, view.world
    if endpoint.http_route is None or not serves(world.routes, resources.ROUTES):
        return Served()
    pool = endpoint.routing == "PrefixAware" and serves(world.pools, resources.POOLS)
    return Served(route=True, pool=pool)


def problem(view: DeploymentView) -> tuple[str, str] | None:
    """A reason of `Degraded`, where requests do not come in as the spec asks for; None where they do."""
    endpoint, world = view.spec.endpoint, view.world
    if endpoint.http_route is None:
        return None
    missing = _missing(world.routes, resources.ROUTES, "spec.endpoint.httpRoute", INSTALL_ROUTES)
    if not missing and endpoint.routing == "PrefixAware":
        missing = _missing(world.pools, resources.POOLS, "spec.endpoint.routing", INSTALL_POOLS)
        missing = missing and f"{missing}. Until then the route leads to the Service"
    missing = missing or _no_gateway(view) or _refused(view)
    return (_MISSING, missing) if missing else None


def again(view: DeploymentView) -> float | None:
    """When to look again at Gateways; None where they are known, or nothing leads through them."""
    return _LOOK_SECONDS if served(view).route and view.gateways is None else None


def _missing(versions: tuple[str, ...] | None, wanted: Resource, field: str, install: str) -> str:
    why = lacking(versions, wanted, install, f"{wanted.kind} of Gateway API")
    return f"{field}: {why}" if why else ""


def _no_gateway(view: DeploymentView) -> str:
    known = view.gateways or {}
    gone = sorted("/".join(parent) for parent, there in known.items() if there is None)
    if not gone:
        return ""
    return (
        f"spec.endpoint.httpRoute.parentRefs: there is no Gateway {', '.join(gone)}; make it, or name "
        "one of those that are there: kubectl get gateways -A"
    )


def _refused(view: DeploymentView) -> str:
    """What a Gateway has against the route, or against the pool that it leads to."""
    judged = {"spec.endpoint.httpRoute": _route(view), "spec.endpoint.routing": _pool(view)}
    for field, obj in judged.items():
        for parent in _parents(obj):
            for kind in _JUDGED:
                told = _condition(obj, parent, kind)
                if told.get("status") == "False":
                    reason = told.get("reason", kind)
                    return f"{field}: {_words(view, parent, reason, obj['kind'].lower())}"
    return ""


def _words(view: DeploymentView, parent: Object, reason: str, kind: str) -> str:
    gateway = "/".join(_gateway(view, parent))
    look = f"kubectl describe {kind} {view.owner.name} -n {view.owner.namespace}"
    return f"Gateway {gateway} says {reason}: {look}"


# -- where it leads from --------------------------------------------------------------------------


def external_url(view: DeploymentView) -> str:
    """Base URL from outside; "" while nobody has taken the route."""
    base = _of_ingress(view) or _of_route(view)
    return f"{base}{PATH}" if base else ""


def _of_ingress(view: DeploymentView) -> str:
    wanted = view.spec.endpoint.ingress
    if wanted is None or not wanted.host or ("Ingress", view.owner.name) not in view.children:
        return ""
    return f"{'https' if wanted.tls_secret_name else 'http'}://{wanted.host}"


def _of_route(view: DeploymentView) -> str:
    """That of a listener with TLS, where there is one."""
    found = [each for each in _addresses(view) if each.url]
    found.sort(key=lambda each: each.scheme != "https")
    return found[0].url if found else ""


def _addresses(view: DeploymentView) -> Iterator[Address]:
    wanted = view.spec.endpoint.http_route
    hosts = list(wanted.hostnames) if wanted else []
    route = _route(view)
    for parent in _parents(route):
        if all(_condition(route, parent, kind).get("status") == "True" for kind in _JUDGED):
            gateway, reference = _gateway(view, parent), parent.get("parentRef", {})
            there = (view.gateways or {}).get(gateway)
            if there is not None:
                yield from listeners.addresses(there, reference, hosts)
            elif view.gateways is not None and gateway not in view.gateways:
                yield listeners.unseen(reference, hosts)


def _route(view: DeploymentView) -> Object:
    wanted = view.spec.endpoint.http_route is not None
    return dict(view.children.get(("HTTPRoute", view.owner.name), {})) if wanted else {}


def _pool(view: DeploymentView) -> Object:
    endpoint = view.spec.endpoint
    wanted = endpoint.http_route is not None and endpoint.routing == "PrefixAware"
    return dict(view.children.get(("InferencePool", view.owner.name), {})) if wanted else {}


def _parents(obj: Object) -> list[Object]:
    return list(obj.get("status", {}).get("parents") or ())


def _gateway(view: DeploymentView, parent: Object) -> listeners.Parent:
    reference = parent.get("parentRef", {})
    return reference.get("namespace") or view.owner.namespace, str(reference.get("name", ""))


def _condition(obj: Object, parent: Object, kind: str) -> Object:
    """What a Gateway says of a route or a pool as it is now."""
    told = dict(find(parent.get("conditions") or (), kind) or {})
    now = obj["metadata"].get("generation", 0)
    return told if told.get("observedGeneration", now) == now else {}


# -- what is no longer wanted ---------------------------------------------------------------------


def spare(view: DeploymentView, desired: list[Object]) -> list[Action]:
    """Deletions of routes, and of a picker, that are no longer wanted."""
    wanted = {(obj["kind"], obj["metadata"]["name"]) for obj in desired}
    return [
        delete(obj) for key, obj in view.children.items() if key not in wanted and _of_routes(obj)
    ]


def _of_routes(obj: Object) -> bool:
    own = obj["metadata"].get("labels", {}).get(labels.COMPONENT)
    return obj["kind"] in _KINDS or own == labels.PICKER
