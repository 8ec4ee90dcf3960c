"""What leads in from outside, what chooses servers for it, and who may connect because of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client
from tests.support.builders import serving
from tests.support.podsecurity import findings

from llama_operator.api import labels
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.rbac import WATCHED
from llama_operator.render import render, revision
from llama_operator.render.inputs import Copy, Served, Serving, Settings

Object = dict[str, Any]
PARENT = {"name": "public", "namespace": "infra", "sectionName": "https"}
ROUTE: Object = {"httpRoute": {"parentRefs": [PARENT], "hostnames": ["llama.example.com"]}}
AWARE: Object = {**ROUTE, "routing": "PrefixAware"}
INGRESS: Object = {
    "ingress": {"className": "nginx", "host": "llama.example.com", "tlsSecretName": "tls"}
}
MODELS = {
    "Deployment": client.V1Deployment,
    "Service": client.V1Service,
    "NetworkPolicy": client.V1NetworkPolicy,
    "ServiceAccount": client.V1ServiceAccount,
    "Role": client.V1Role,
    "RoleBinding": client.V1RoleBinding,
    "Ingress": client.V1Ingress,
}


def routed(endpoint: Object, *, route: bool = True, pool: bool = True, **spec: Any) -> Serving:
    made = serving(endpoint=endpoint, **spec)
    aware = endpoint.get("routing") == "PrefixAware"
    asked = "httpRoute" in endpoint
    return replace(made, gateway=Served(route=asked and route, pool=asked and aware and pool))


def objects(made: Serving) -> dict[tuple[str, str], Object]:
    return {(obj["kind"], obj["metadata"]["name"]): obj for obj in render.serving_objects(made)}


def added(made: Serving) -> set[tuple[str, str]]:
    return set(objects(made)) - set(objects(serving()))


def peers(made: Serving, name: str = "web", rule: int = 0) -> list[Object]:
    policy = objects(made)["NetworkPolicy", name]
    return list(policy["spec"]["ingress"][rule]["from"])


def named(*namespaces: str) -> list[Object]:
    label = "kubernetes.io/metadata.name"
    return [{"namespaceSelector": {"matchLabels": {label: each}}} for each in namespaces]


# -- the route ------------------------------------------------------------------------------------


def test_a_route_leads_the_api_and_nothing_else_to_the_service() -> None:
    made = routed({**ROUTE, "port": 80})
    assert added(made) == {("HTTPRoute", "web")}
    spec = objects(made)["HTTPRoute", "web"]["spec"]
    gateway = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
    assert spec["parentRefs"] == [{**gateway, **PARENT}]
    assert spec["hostnames"] == ["llama.example.com"]
    (rule,) = spec["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/v1"}}]
    backend = {"group": "", "kind": "Service", "name": "web", "port": 80, "weight": 1}
    assert rule["backendRefs"] == [backend]
    assert rule["timeouts"] == {"request": "0s"}


def test_a_route_for_all_hosts_of_its_listeners_names_none() -> None:
    made = routed({"httpRoute": {"parentRefs": [{"name": "public", "port": 443}]}})
    spec = objects(made)["HTTPRoute", "web"]["spec"]
    assert "hostnames" not in spec
    assert spec["parentRefs"][0]["port"] == 443 and "namespace" not in spec["parentRefs"][0]


def test_routes_come_last_so_that_a_refusal_of_one_keeps_no_server() -> None:
    kinds = [obj["kind"] for obj in render.serving_objects(routed(AWARE))]
    assert kinds[-2:] == ["InferencePool", "HTTPRoute"]
    assert kinds.index("Deployment") < kinds.index("InferencePool")
    assert render.serving_objects(routed(INGRESS))[-1]["kind"] == "Ingress"


def test_an_ingress_is_for_one_host_with_its_certificate() -> None:
    spec = objects(routed(INGRESS))["Ingress", "web"]["spec"]
    assert spec["ingressClassName"] == "nginx"
    assert spec["tls"] == [{"hosts": ["llama.example.com"], "secretName": "tls"}]
    (rule,) = spec["rules"]
    assert rule["host"] == "llama.example.com"
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/v1", "Prefix")
    assert path["backend"]["service"] == {"name": "web", "port": {"number": 8000}}
    bare = objects(routed({"ingress": {"host": "a.example"}}))["Ingress", "web"]["spec"]
    assert set(bare) == {"rules"}


@pytest.mark.parametrize("endpoint", [ROUTE, AWARE, INGRESS])
def test_every_object_is_valid_for_the_typed_models(endpoint: Object) -> None:
    for (kind, _), obj in objects(routed(endpoint)).items():
        if kind not in ("HTTPRoute", "InferencePool"):
            MODELS[kind].model_validate(obj)


# -- prefix-aware ---------------------------------------------------------------------------------


def test_prefix_aware_is_a_pool_of_our_servers_behind_the_same_route() -> None:
    found = objects(routed({**AWARE, "port": 80}))
    (rule,) = found["HTTPRoute", "web"]["spec"]["rules"]
    group = "inference.networking.k8s.io"
    backend = {"group": group, "kind": "InferencePool", "name": "web", "weight": 1}
    assert rule["backendRefs"] == [backend]
    pool = found["InferencePool", "web"]["spec"]
    container = found["Deployment", "web"]["spec"]["template"]["spec"]["containers"][0]
    assert pool["targetPorts"] == [{"number": container["ports"][0]["containerPort"]}]
    template = found["Deployment", "web"]["spec"]["template"]["metadata"]["labels"]
    picker = found["Deployment", "web-picker"]["spec"]["template"]["metadata"]["labels"]
    selector = pool["selector"]["matchLabels"].items()
    assert selector <= template.items() and not selector <= picker.items()
    service = found["Service", "web-picker"]["spec"]
    reference = pool["endpointPickerRef"]
    assert (reference["name"], reference["failureMode"]) == ("web-picker", "FailOpen")
    assert reference["port"]["number"] == service["ports"][0]["port"]
    assert service["selector"].items() <= picker.items()


def test_without_the_kind_of_a_pool_the_route_leads_to_the_service() -> None:
    made = routed(AWARE, pool=False)
    assert added(made) == {("HTTPRoute", "web")}
    assert added(routed(AWARE, route=False, pool=False)) == set()
    (rule,) = objects(made)["HTTPRoute", "web"]["spec"]["rules"]
    assert rule["backendRefs"][0]["kind"] == "Service"


def test_a_pool_of_groups_has_their_first_ranks_only() -> None:
    made = routed(AWARE, sizing={"nodes": 2, "tensorParallel": 8})
    found = objects(made)
    parts = found["LeaderWorkerSet", "web"]["spec"]["leaderWorkerTemplate"]
    selector = found["InferencePool", "web"]["spec"]["selector"]["matchLabels"].items()
    assert selector <= parts["leaderTemplate"]["metadata"]["labels"].items()
    assert not selector <= parts["workerTemplate"]["metadata"]["labels"].items()


def picker(made: Serving) -> Object:
    return dict(objects(made)["Deployment", "web-picker"]["spec"])


def config(made: Serving) -> Object:
    (args,) = [each["args"] for each in picker(made)["template"]["spec"]["containers"]]
    text = next(each for each in args if each.startswith("--config-text="))
    return dict(json.loads(text.partition("=")[2]))


def test_a_picker_looks_at_prefixes_most_and_at_adapters_where_there_are_some() -> None:
    profile = config(routed(AWARE))["schedulingProfiles"][0]["plugins"]
    weights = {each["pluginRef"]: each["weight"] for each in profile}
    assert max(weights, key=lambda name: weights[name]) == "prefix-cache-scorer"
    assert "lora-affinity-scorer" not in weights
    with_lora = config(routed(AWARE, lora={"enabled": True}))
    assert {"type": "lora-affinity-scorer"} in with_lora["plugins"]
    names = [each["pluginRef"] for each in with_lora["schedulingProfiles"][0]["plugins"]]
    assert names == [each["type"] for each in with_lora["plugins"]]


def test_a_picker_is_restricted_and_no_server_of_ours() -> None:
    made = picker(routed(AWARE))
    assert findings(made["template"]["spec"]) == []
    assert labels.MANAGED_BY not in made["template"]["metadata"]["labels"]
    assert made["replicas"] == 1 and made["strategy"] == {"type": "Recreate"}
    other = replace(routed(AWARE), settings=Settings(picker_image="mirror/epp:v9"))
    (container,) = picker(other)["template"]["spec"]["containers"]
    assert container["image"] == "mirror/epp:v9"


def test_a_picker_may_no_more_than_the_operator_may_hand_on() -> None:
    rules = objects(routed(AWARE))["Role", "web-picker"]["rules"]
    pools = next(each for each in rules if each["resources"] == ["inferencepools"])
    assert pools["resourceNames"] == ["web"]
    assert {verb for each in rules for verb in each["verbs"]} == {"get", "list", "watch"}
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                granted = [
                    set(verbs)
                    for own, names, verbs in WATCHED
                    if own == group and resource in names
                ]
                assert any(set(rule["verbs"]) <= each for each in granted), (group, resource)


# -- who may connect ------------------------------------------------------------------------------


def test_gateways_may_connect_where_requests_come_from_outside_and_else_not() -> None:
    before = peers(serving())
    proxies = named(*Settings().gateway_namespaces)
    assert peers(routed(ROUTE)) == [*before, *named("infra"), *proxies]
    assert peers(routed(INGRESS)) == [*before, *proxies]
    own = routed({"httpRoute": {"parentRefs": [{"name": "public"}]}})
    assert peers(own) == [*before, *named("default"), *proxies]


def test_gateways_are_let_in_beside_whom_the_user_names_and_so_is_a_picker() -> None:
    client_pods = {"podSelector": {"matchLabels": {"app": "client"}}}
    made = routed({**AWARE, "networkPolicy": {"from": [client_pods]}})
    proxies = named("infra", *Settings().gateway_namespaces)
    own = {labels.DEPLOYMENT: "web", labels.COMPONENT: labels.PICKER}
    assert peers(made) == [client_pods, *proxies, {"podSelector": {"matchLabels": own}}]


def test_an_activator_lets_gateways_in_as_servers_do() -> None:
    made = routed(ROUTE, autoscaling={"minReplicas": 0})
    assert peers(made, "web-activator") == peers(made)
    assert named("infra")[0] in peers(made)


def test_gateways_alone_ask_a_picker_and_prometheus_alone_scrapes_it() -> None:
    made = routed(AWARE)
    assert peers(made, "web-picker") == named("infra", *Settings().gateway_namespaces)
    assert peers(made, "web-picker", 1) == named("monitoring")
    rules = objects(made)["NetworkPolicy", "web-picker"]["spec"]["ingress"]
    assert [each["ports"][0]["port"] for each in rules] == [9002, 9090]
    quiet = replace(made, settings=Settings(monitoring_namespaces=()))
    assert len(objects(quiet)["NetworkPolicy", "web-picker"]["spec"]["ingress"]) == 1


def test_without_policies_a_picker_has_none() -> None:
    made = routed({**AWARE, "networkPolicy": {"enabled": False}})
    assert not [name for kind, name in objects(made) if kind == "NetworkPolicy"]


# -- servers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", [ROUTE, AWARE, INGRESS])
def test_no_way_in_changes_a_server(endpoint: Object) -> None:
    plain, made = serving(), routed(endpoint)
    assert revision.template(made) == revision.template(plain)
    assert objects(made)["Deployment", "web"] == objects(plain)["Deployment", "web"]
    assert objects(made)["Service", "web"] == objects(plain)["Service", "web"]
    assert inputs(endpoint) == inputs({})
    assert inputs({**endpoint, "port": 81}) != inputs(endpoint)


def inputs(endpoint: Object) -> str:
    copy = Copy("w", "claim", "path", 1)
    spec = LlamaDeploymentSpec.model_validate(
        {"model": "llama-3.1-8b-instruct", "endpoint": endpoint}
    )
    return revision.inputs_of(spec, copy)
