"""Who may connect to the endpoint of a deployment: peers of NetworkPolicies, and their frame."""

from __future__ import annotations

from collections.abc import Iterable

from llama_operator.render.inputs import Object, Serving

_NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def of(serving: Serving) -> list[Object]:
    """Whom the user names or else the neighbours, and gateways where requests come from outside."""
    named, settings = list(serving.spec.endpoint.network_policy.from_), serving.settings
    if named:
        return [*named, *of_namespaces(gateways(serving))]
    namespaces = [settings.operator_namespace, *settings.monitoring_namespaces]
    return [{"podSelector": {}}, *of_namespaces([*namespaces, *gateways(serving)])]


def of_namespaces(names: Iterable[str]) -> list[Object]:
    """All pods of these namespaces, each named once."""
    return [
        {"namespaceSelector": {"matchLabels": {_NAMESPACE_LABEL: name}}}
        for name in dict.fromkeys(names)
    ]


def gateways(serving: Serving) -> list[str]:
    """Namespaces whose pods bring requests from outside: those of Gateways, and of their proxies."""
    endpoint = serving.spec.endpoint
    if endpoint.http_route is None and endpoint.ingress is None:
        return []
    parents = endpoint.http_route.parent_refs if endpoint.http_route else ()
    own = serving.owner.namespace
    return [*(each.namespace or own for each in parents), *serving.settings.gateway_namespaces]


def policy(meta: Object, pods: Object, rules: list[Object]) -> Object:
    """A NetworkPolicy by which nobody but those of the rules may connect to these pods."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": meta,
        "spec": {"podSelector": pods, "policyTypes": ["Ingress"], "ingress": rules},
    }
