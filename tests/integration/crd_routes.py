"""Ways in from outside that the API server must refuse, and those that it must accept."""

from __future__ import annotations

from typing import Any

from tests.integration.crd_cases import Object, Refusal, deployment

PARENT: Object = {"name": "public", "namespace": "infra"}
ROUTE: Object = {"httpRoute": {"parentRefs": [PARENT]}}
INGRESS: Object = {"ingress": {"host": "llama.example.com"}}
AWARE: Object = {"routing": "PrefixAware"}


def _endpoint(**endpoint: Any) -> Object:
    return deployment(endpoint=endpoint)


def _refused(name: str, obj: Object, field: str, said: str) -> Refusal:
    return Refusal(f"way-in-{name}", obj, f"spec.endpoint.{field}", f"spec.endpoint.{said}")


_NO_PARENT = "httpRoute.parentRefs: name the Gateway that takes the route"
_NO_HOST = "ingress.host: name the host that requests are for, such as llama.example.com"
RULES = [
    _refused("no-parent", _endpoint(httpRoute={}), "httpRoute.parentRefs", _NO_PARENT),
    _refused(
        "empty-parents", _endpoint(httpRoute={"parentRefs": []}), "httpRoute.parentRefs", _NO_PARENT
    ),
    _refused(
        "same-parent",
        _endpoint(httpRoute={"parentRefs": [PARENT, {"name": "other"}, PARENT]}),
        "httpRoute.parentRefs",
        "httpRoute.parentRefs: each once; remove the second of two that are the same",
    ),
    _refused("no-host", _endpoint(ingress={"className": "nginx"}), "ingress.host", _NO_HOST),
    _refused("empty-host", _endpoint(ingress={"host": ""}), "ingress.host", _NO_HOST),
    _refused(
        "two-ways",
        _endpoint(**ROUTE, **INGRESS),
        "ingress",
        "ingress: one way in from outside; remove ingress or httpRoute",
    ),
    _refused(
        "aware-without-route",
        _endpoint(**AWARE, **INGRESS),
        "routing",
        "routing: PrefixAware is what a Gateway does; set spec.endpoint.httpRoute, or use None",
    ),
    _refused(
        "aware-from-zero",
        deployment(endpoint={**AWARE, **ROUTE}, autoscaling={"minReplicas": 0}),
        "routing",
        "routing: an InferencePool holds no requests while there is no replica; set "
        "spec.autoscaling.minReplicas to 1 or more, or use None",
    ),
    _refused(
        "aware-transformers",
        deployment(endpoint={**AWARE, **ROUTE}, engine={"type": "transformers"}),
        "routing",
        "routing: PrefixAware reads metrics of vLLM, which transformers does not have; use None, or "
        "spec.engine.type vllm",
    ),
    *(
        Refusal(
            f"way-in-{name}-kserve",
            deployment(backend="kserve", endpoint=way),
            "spec.endpoint",
            "spec.endpoint: KServe makes the way in from outside, under the same name; remove "
            "httpRoute and ingress, or set spec.backend to native",
        )
        for name, way in (("route", ROUTE), ("ingress", INGRESS))
    ),
    _refused(
        "aware-kserve",
        deployment(backend="kserve", endpoint={**AWARE, **ROUTE}),
        "routing",
        "routing: KServe has its own scheduler; use None",
    ),
]


def _bound(name: str, endpoint: Object, field: str, said: str) -> Refusal:
    return Refusal(f"way-in-{name}", _endpoint(**endpoint), f"spec.endpoint.{field}", said)


def _parent(**change: Any) -> Object:
    return {"httpRoute": {"parentRefs": [{**PARENT, **change}]}}


def _hosts(*hosts: str) -> Object:
    return {"httpRoute": {"parentRefs": [PARENT], "hostnames": list(hosts)}}


_PARENTS = [{"name": f"g{number}"} for number in range(9)]
BOUNDS = [
    _bound("routing", {**ROUTE, "routing": "Fastest"}, "routing", "supported values"),
    _bound("parents", {"httpRoute": {"parentRefs": _PARENTS}}, "httpRoute.parentRefs", "at most 8"),
    _bound("parent", _parent(name=""), "httpRoute.parentRefs[0].name", "at least 1"),
    _bound("space", _parent(namespace="I"), "httpRoute.parentRefs[0].namespace", "should match"),
    _bound("port", _parent(port=0), "httpRoute.parentRefs[0].port", "should be"),
    _bound("section", _parent(sectionName="-"), "httpRoute.parentRefs[0].sectionName", "match"),
    _bound("host", _hosts("a.*.example"), "httpRoute.hostnames[0]", "should match"),
    _bound("long", _hosts("a." * 127 + "ab"), "httpRoute.hostnames[0]", "than 253"),
    _bound("hosts", _hosts(*map("h{}".format, range(17))), "httpRoute.hostnames", "at most 16"),
    _bound("twice", _hosts("a.example", "a.example"), "httpRoute.hostnames[1]", "Duplicate"),
    _bound("star", {"ingress": {"host": "*.example.com"}}, "ingress.host", "should match"),
    _bound(
        "secret",
        {"ingress": {"host": "a.example", "tlsSecretName": "A"}},
        "ingress.tlsSecretName",
        "should match",
    ),
]
ACCEPTED = {
    "way-in-route": _endpoint(**_hosts("*.example.com", "llama")),
    "way-in-listeners": _endpoint(
        httpRoute={"parentRefs": [{**PARENT, "sectionName": each} for each in ("a", "b")]}
    ),
    "way-in-aware": deployment(
        endpoint={**AWARE, **_parent(port=443)}, autoscaling={"minReplicas": 1}
    ),
    "way-in-empty-means-auto": _endpoint(**_parent(namespace="", sectionName="")),
    "way-in-ingress": _endpoint(
        ingress={"host": "a.example", "className": "", "tlsSecretName": "tls"}
    ),
    "way-in-none": deployment(
        endpoint={"routing": "None"}, engine={"type": "transformers"}, replicas=0
    ),
}
