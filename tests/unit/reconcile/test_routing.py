"""Which way in is made of what a cluster has, where it leads from, and what is said of the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import deployment, deployment_view, ready_weights, world
from tests.support.memory import Memory
from tests.support.simulated import edit, settle
from tests.support.simulation import STAMP, Simulation

from llama_operator.reconcile import decide, listeners, routing, status
from llama_operator.reconcile.snapshot import DeploymentView
from llama_operator.render.inputs import Served

Object = dict[str, Any]
V1 = ("v1",)
PUBLIC = ("infra", "public")
PARENT = {"name": "public", "namespace": "infra"}


def routed(*hosts: str, parents: Any = (PARENT,), **endpoint: Any) -> Object:
    return {"httpRoute": {"parentRefs": list(parents), "hostnames": list(hosts)}, **endpoint}


AWARE = routed("a.example.com", routing="PrefixAware")
INGRESS = {"ingress": {"host": "a.example.com", "tlsSecretName": "tls"}}
HTTPS = {"name": "https", "port": 443, "protocol": "HTTPS"}
HTTP = {"name": "http", "port": 80, "protocol": "HTTP"}


def gateway(*listening: Object, addresses: Any = ()) -> Object:
    return {"listeners": list(listening), "addresses": list(addresses)}


def started(endpoint: Object, routes: Any = V1, pools: Any = V1) -> Simulation:
    raw = deployment(endpoint=endpoint)
    copy = ready_weights(raw)
    copy["metadata"]["namespace"] = "default"
    made = Simulation(Memory([raw, copy]), env=world(routes=routes, pools=pools))
    made.gateways = {PUBLIC: gateway(HTTPS, HTTP)}
    return made


def condition(simulation: Simulation, kind: str) -> Object:
    told = simulation.memory.objects["LlamaDeployment", "web"]["status"]["conditions"]
    return next(dict(each) for each in told if each["type"] == kind)


def url(simulation: Simulation) -> str:
    told = simulation.memory.objects["LlamaDeployment", "web"]["status"]["endpoint"]
    return str(told.get("externalURL", ""))


def ways(simulation: Simulation) -> set[tuple[str, str]]:
    """Objects that lead in, and those of the picker."""
    kinds = ("HTTPRoute", "InferencePool", "Ingress")
    found = simulation.memory.objects
    return {each for each in found if each[0] in kinds or each[1] == "web-picker"}


PICKER = {
    (kind, "web-picker")
    for kind in (
        *("ServiceAccount", "Role", "RoleBinding", "Service", "NetworkPolicy", "Deployment"),
    )
}


# -- what is made, and goes again -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "made"),
    [
        ({}, set()),
        (routed("a.example.com"), {("HTTPRoute", "web")}),
        (AWARE, {("HTTPRoute", "web"), ("InferencePool", "web"), *PICKER}),
        (INGRESS, {("Ingress", "web")}),
    ],
)
def test_each_way_is_made_and_goes_when_it_is_switched_off(
    endpoint: Object, made: set[tuple[str, str]]
) -> None:
    simulation = started(endpoint)
    settle(simulation)
    assert ways(simulation) == made
    assert condition(simulation, "Ready")["status"] == "True"
    assert bool(url(simulation)) == bool(made)
    edit(simulation, endpoint={})
    settle(simulation)
    assert (ways(simulation), url(simulation)) == (set(), "")


def test_from_one_way_to_another_the_first_goes_once_the_second_is_asked_for() -> None:
    simulation = started(AWARE)
    settle(simulation)
    edit(simulation, endpoint=routed("a.example.com"))
    simulation.serve()
    kinds = [type(each).__name__ for each in simulation.asked]
    assert kinds == sorted(kinds), "the route leads to the Service before the pool goes"
    settle(simulation)
    assert ways(simulation) == {("HTTPRoute", "web")}
    edit(simulation, endpoint=INGRESS)
    settle(simulation)
    assert ways(simulation) == {("Ingress", "web")}


@pytest.mark.parametrize("endpoint", [routed("a.example.com"), AWARE, INGRESS])
def test_no_way_in_touches_a_server(endpoint: Object) -> None:
    simulation = started({})
    settle(simulation)
    before = simulation.memory.objects["Deployment", "web"]
    revisions = [name for kind, name in simulation.memory.objects if kind == "ControllerRevision"]
    edit(simulation, endpoint=endpoint)
    settle(simulation)
    assert ways(simulation)
    assert simulation.memory.objects["Deployment", "web"] == before
    after = [name for kind, name in simulation.memory.objects if kind == "ControllerRevision"]
    assert after == revisions


def test_a_strangers_route_is_left_alone_and_servers_serve() -> None:
    simulation = started(routed("a.example.com"))
    stranger = {
        "kind": "HTTPRoute",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {},
    }
    simulation.memory.put(stranger)
    simulation.serve()
    simulation.play()
    simulation.serve()
    assert condition(simulation, "Degraded")["reason"] == "ObjectNotOwned"
    assert condition(simulation, "Available")["status"] == "True"
    assert url(simulation) == ""


# -- what a cluster does not have -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("routes", "pools", "words", "install"),
    [
        (None, V1, "HTTPRoute of Gateway API is not installed", routing.INSTALL_ROUTES),
        (("v1beta1",), V1, "serves v1beta1 and not v1", routing.INSTALL_ROUTES),
        ((), V1, "serves no version", routing.INSTALL_ROUTES),
        (V1, None, "InferencePool of Gateway API is not installed", routing.INSTALL_POOLS),
        (V1, ("v1alpha2",), "serves v1alpha2 and not v1", routing.INSTALL_POOLS),
    ],
)
def test_what_is_missing_is_said_with_its_command_and_servers_serve(
    routes: Any, pools: Any, words: str, install: str
) -> None:
    simulation = started(AWARE, routes, pools)
    settle(simulation)
    told = condition(simulation, "Degraded")
    assert told["reason"] == condition(simulation, "Ready")["reason"] == "DependencyMissing"
    assert words in told["message"] and install in told["message"]
    assert condition(simulation, "Available")["status"] == "True"
    # A route without a pool leads to the Service.
    assert ways(simulation) == ({("HTTPRoute", "web")} if routes == V1 else set())
    server = simulation.memory.objects["Deployment", "web"]
    simulation.env = replace(simulation.env, routes=V1, pools=V1)
    settle(simulation)
    assert condition(simulation, "Ready")["status"] == "True"
    assert ("InferencePool", "web") in ways(simulation)
    assert simulation.memory.objects["Deployment", "web"] == server


def test_nobody_misses_what_is_not_asked_for() -> None:
    for endpoint in ({}, INGRESS):
        simulation = started(endpoint, None, None)
        settle(simulation)
        assert condition(simulation, "Degraded")["reason"] == "Healthy"
    simulation = started(routed("a.example.com"), V1, None)
    settle(simulation)
    assert condition(simulation, "Degraded")["reason"] == "Healthy"


def test_a_gateway_that_is_not_there_is_said_where_that_may_be_known() -> None:
    simulation = started(routed("a.example.com"))
    simulation.gateways = {}
    settle(simulation)
    told = condition(simulation, "Degraded")
    assert told["reason"] == "DependencyMissing"
    assert "spec.endpoint.httpRoute.parentRefs: there is no Gateway infra/public" in told["message"]
    assert url(simulation) == ""
    simulation.sees_gateways = False
    settle(simulation)
    assert condition(simulation, "Degraded")["reason"] == "Healthy"
    assert url(simulation) == "http://a.example.com/v1"


def test_while_gateways_are_not_known_nothing_is_said_and_they_are_looked_at_again() -> None:
    simulation = started(routed("a.example.com"))
    simulation.gateways = None
    settle(simulation)
    assert (condition(simulation, "Degraded")["reason"], url(simulation)) == ("Healthy", "")
    again = decide.decide(simulation.deployment()).requeue_after
    assert again is not None and again <= 5
    simulation.gateways = {}
    assert decide.decide(simulation.deployment()).requeue_after is None
    for endpoint in ({}, INGRESS):
        other = started(endpoint)
        other.gateways = None
        settle(other)
        assert decide.decide(other.deployment()).requeue_after is None


# -- what a Gateway says of it --------------------------------------------------------------------


def said(accepted: str = "True", resolved: str = "True", **more: Any) -> list[Object]:
    kinds = {"Accepted": accepted, "ResolvedRefs": resolved}
    return [
        {"type": kind, "status": value, "reason": f"{kind}{value}", **more}
        for kind, value in kinds.items()
    ]


def look(
    endpoint: Object, *told: tuple[Object, list[Object]], **gateways: Object
) -> DeploymentView:
    """A view with a route, what its parents say, and Gateways of `infra` by name."""
    route = {
        "kind": "HTTPRoute",
        "metadata": {"name": "web", "namespace": "default", "uid": "r", "generation": 2},
        "status": {"parents": [{"parentRef": ref, "conditions": each} for ref, each in told]},
    }
    raw = deployment(endpoint=endpoint)
    view = deployment_view(raw, [route], world=world(routes=V1), weights=ready_weights(raw))
    return replace(view, gateways={("infra", name): each for name, each in gateways.items()})


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [(said("False"), "AcceptedFalse"), (said("True", "False"), "ResolvedRefsFalse")],
)
def test_a_refusal_of_a_gateway_is_told_by_its_reason(
    conditions: list[Object], reason: str
) -> None:
    view = look(routed("a.example.com"), (PARENT, conditions), public=gateway(HTTPS))
    problem = routing.problem(view)
    assert problem is not None
    assert problem[0] == "DependencyMissing"
    assert f"Gateway infra/public says {reason}" in problem[1]
    assert "kubectl describe httproute web -n default" in problem[1]
    assert routing.external_url(view) == ""


def pooled(*conditions: Object, routing: str = "PrefixAware") -> DeploymentView:
    """As `look` with a route that is accepted, and what the Gateway says of its pool."""
    endpoint = {**routed("a.example.com"), "routing": routing}
    view = look(endpoint, (PARENT, said()), public=gateway(HTTPS))
    told = {"parents": [{"parentRef": PARENT, "conditions": list(conditions)}]}
    meta = {"name": "web", "namespace": "default", "uid": "p", "generation": 2}
    pool = {"kind": "InferencePool", "metadata": meta, "status": told}
    env = world(routes=V1, pools=V1)
    return replace(view, world=env, children={**view.children, ("InferencePool", "web"): pool})


def test_a_refusal_of_a_pool_is_told_as_well() -> None:
    problem = routing.problem(pooled(*said("True", "False")))
    assert problem is not None
    assert problem[1].startswith(
        "spec.endpoint.routing: Gateway infra/public says ResolvedRefsFalse"
    )
    assert "kubectl describe inferencepool web -n default" in problem[1]


@pytest.mark.parametrize(
    "view",
    [
        pooled(*said()),
        pooled(*said("Unknown")),
        pooled(*said("False", observedGeneration=1)),
        pooled(*said("False"), routing="None"),
    ],
    ids=["taken", "not judged yet", "of an earlier one", "not wanted"],
)
def test_a_pool_that_nobody_refuses_is_no_problem(view: DeploymentView) -> None:
    assert routing.problem(view) is None


@pytest.mark.parametrize(
    "conditions",
    [[], said("Unknown"), said(observedGeneration=1), said("False", observedGeneration=1)],
)
def test_a_gateway_that_has_not_judged_this_route_yet_has_said_nothing(
    conditions: list[Object],
) -> None:
    view = look(routed("a.example.com"), (PARENT, conditions), public=gateway(HTTPS))
    assert routing.problem(view) is None
    assert routing.external_url(view) == ""


def test_one_gateway_that_takes_it_is_enough_for_an_address() -> None:
    other = {"name": "inner", "namespace": "infra"}
    view = look(
        routed("a.example.com", parents=(PARENT, other)),
        (PARENT, said("False")),
        (other, said(observedGeneration=2)),
        public=gateway(HTTPS),
        inner=gateway(HTTP),
    )
    assert routing.external_url(view) == "http://a.example.com/v1"
    assert routing.problem(view) is not None


@pytest.mark.parametrize(
    ("hosts", "reference", "listening", "expected"),
    [
        (("a.example.com",), {}, (HTTP, HTTPS), "https://a.example.com/v1"),
        (("a.example.com",), {"sectionName": "http"}, (HTTP, HTTPS), "http://a.example.com/v1"),
        (("a.example.com",), {"port": 443}, (HTTP, HTTPS), "https://a.example.com/v1"),
        (("a.example.com",), {}, ({**HTTPS, "port": 8443},), "https://a.example.com:8443/v1"),
        (("*.example.com", "b.example.com"), {}, (HTTPS,), "https://b.example.com/v1"),
        (("*.example.com",), {}, (HTTPS,), ""),
        (("*.example.com",), {}, ({**HTTPS, "hostname": "c.example.com"},), "https://c.example.com/v1"),
        (("c.example.com",), {}, ({**HTTPS, "hostname": "*.example.com"},), "https://c.example.com/v1"),
        (("c.other.com",), {}, ({**HTTPS, "hostname": "*.example.com"}, HTTP), "http://c.other.com/v1"),
        (("c.other.com",), {}, ({**HTTPS, "hostname": "c.example.com"},), ""),
        ((), {}, ({**HTTPS, "hostname": "c.example.com"},), "https://c.example.com/v1"),
        ((), {}, ({**HTTPS, "hostname": "*.example.com"},), ""),
        ((), {}, (HTTP,), "http://192.0.2.1/v1"),
        (("a.example.com",), {}, ({**HTTPS, "protocol": "TLS"},), ""),
    ],
)  # fmt: skip
def test_the_address_is_that_of_a_listener_with_tls_first(
    hosts: tuple[str, ...], reference: Object, listening: tuple[Object, ...], expected: str
) -> None:
    parent = {**PARENT, **reference}
    view = look(
        routed(*hosts, parents=(parent,)),
        (parent, said()),
        public=gateway(*listening, addresses=["192.0.2.1"]),
    )
    assert routing.external_url(view) == expected


def test_an_address_of_ipv6_is_written_as_urls_want_it() -> None:
    found = gateway(HTTP, addresses=["2001:db8::1"])
    view = look(routed(), (PARENT, said()), public=found)
    assert routing.external_url(view) == "http://[2001:db8::1]/v1"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({}, "http://a.example.com/v1"),
        ({"port": 443}, "https://a.example.com/v1"),
        ({"port": 8080}, "http://a.example.com:8080/v1"),
    ],
)
def test_of_a_gateway_that_may_not_be_read_the_port_decides(
    reference: Object, expected: str
) -> None:
    parent = {**PARENT, **reference}
    view = look(routed("a.example.com", parents=(parent,)), (parent, said()))
    assert routing.external_url(view) == expected


def test_a_parent_without_a_namespace_is_of_the_deployments_own() -> None:
    parent = {"name": "public"}
    view = look(routed("a.example.com", parents=(parent,)), (parent, said()))
    assert listeners.parents(view.spec, "default") == [("default", "public")]
    view = replace(view, gateways={("default", "public"): gateway(HTTPS)})
    assert routing.external_url(view) == "https://a.example.com/v1"


def test_an_ingress_is_reached_with_tls_where_it_has_a_secret_and_once_it_is_made() -> None:
    for secret, scheme in (("tls", "https"), ("", "http")):
        raw = deployment(endpoint={"ingress": {"host": "a.example.com", "tlsSecretName": secret}})
        made = {"kind": "Ingress", "metadata": {"name": "web", "namespace": "default", "uid": "i"}}
        assert routing.external_url(deployment_view(raw)) == ""
        assert routing.external_url(deployment_view(raw, [made])) == f"{scheme}://a.example.com/v1"


def test_a_status_without_a_way_in_is_as_before() -> None:
    raw = deployment()
    view = deployment_view(raw, weights=ready_weights(raw), world=world(routes=V1, pools=V1))
    assert routing.served(view) == Served()
    assert "externalURL" not in status.build(view, decide.decide(view), None, STAMP)["endpoint"]


# -- what is worth a look -------------------------------------------------------------------------


def full(**change: Any) -> Object:
    listener = {**HTTPS, "tls": {"certificateRefs": [{"name": "c"}]}, "allowedRoutes": {}}
    counted = [{"name": "https", "attachedRoutes": change.pop("routes", 1)}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {
            "name": "public",
            "namespace": "infra",
            "uid": "g",
            "resourceVersion": "7",
            "annotations": {"long": "x" * 9999},
        },
        "spec": {"gatewayClassName": "c", "listeners": [{**listener, **change}]},
        "status": {"addresses": [{"value": "192.0.2.1"}], "listeners": counted},
    }


def test_of_a_gateway_little_is_kept_and_only_its_listeners_and_addresses_count() -> None:
    slim = listeners.slim(full())
    assert slim["listeners"] == [HTTPS] and slim["addresses"] == ["192.0.2.1"]
    assert len(str(slim)) < 300
    assert not listeners.changed("update", slim, listeners.slim(full(routes=2)))
    assert listeners.changed("update", slim, listeners.slim(full(port=8443)))
    assert listeners.changed("add", None, slim) and listeners.changed("delete", slim, None)
    bare = {"metadata": full()["metadata"]}
    assert listeners.slim(bare)["listeners"] == listeners.slim(bare)["addresses"] == []
