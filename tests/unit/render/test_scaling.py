"""Scalers and the activator, as objects."""

from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client
from tests.support.builders import serving

from llama_operator.api import labels
from llama_operator.rbac import WATCHED
from llama_operator.render import activator, render, revision
from llama_operator.render.inputs import Scaling, Serving, Settings

Object = dict[str, Any]
TO_ZERO: Object = {"minReplicas": 0, "maxReplicas": 3, "idleAfter": "90s"}
MODELS = {
    "Deployment": client.V1Deployment,
    "Service": client.V1Service,
    "NetworkPolicy": client.V1NetworkPolicy,
    "ServiceAccount": client.V1ServiceAccount,
    "Role": client.V1Role,
    "RoleBinding": client.V1RoleBinding,
    "HorizontalPodAutoscaler": client.V2HorizontalPodAutoscaler,
}


def scaled(scaler: Any = "HPA", most: int = 3, **spec: Any) -> Serving:
    made = serving(**{"autoscaling": TO_ZERO, **spec})
    settings = Settings(prometheus_address="http://prometheus.monitoring.svc:9090")
    return replace(made, scaling=Scaling(scaler, most), settings=settings)


def found(made: Serving, kind: str, name: str = "web") -> Object:
    return next(
        obj
        for obj in render.serving_objects(made)
        if (obj["kind"], obj["metadata"]["name"]) == (kind, name)
    )


def names(made: Serving) -> set[tuple[str, str]]:
    return {(obj["kind"], obj["metadata"]["name"]) for obj in render.serving_objects(made)}


@pytest.mark.parametrize("auth", ["APIKey", "None"])
def test_every_object_is_valid_for_the_typed_models(auth: str) -> None:
    for obj in render.serving_objects(scaled(auth={"mode": auth})):
        MODELS[obj["kind"]].model_validate(obj)


def test_without_autoscaling_nothing_is_added() -> None:
    assert names(serving()) == {(k, "web") for k in ("Service", "NetworkPolicy", "Deployment")}
    assert not any(name == "web-activator" for _, name in names(scaled(autoscaling={})))


def test_the_scale_target_is_the_deployment_of_ours_and_never_its_child() -> None:
    for scaler, kind in (("HPA", "HorizontalPodAutoscaler"), ("KEDA", "ScaledObject")):
        target = found(scaled(scaler), kind)["spec"]["scaleTargetRef"]
        assert target == {
            "apiVersion": "llamactl.dev/v1alpha1",
            "kind": "LlamaDeployment",
            "name": "web",
        }
    assert not names(scaled("None")) & {("HorizontalPodAutoscaler", "web"), ("ScaledObject", "web")}


def test_hpa_reads_what_an_adapter_serves_and_never_goes_to_zero() -> None:
    targets = [
        {"metric": "WaitingRequests", "value": 7},
        {"metric": "KVCacheUsage", "value": 85},
        {"metric": "TimeToFirstToken", "value": 900},
    ]
    spec = found(scaled(autoscaling={**TO_ZERO, "targets": targets}), "HorizontalPodAutoscaler")
    spec = spec["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 3)
    asked = {
        each["pods"]["metric"]["name"]: each["pods"]["target"]["averageValue"]
        for each in spec["metrics"]
    }
    assert asked == {"vllm_num_requests_waiting": "7", "vllm_kv_cache_usage_perc": "850m"}


def test_keda_asks_prometheus_of_this_deployment_and_the_activator_of_activity() -> None:
    targets = [
        {"metric": name, "value": 9}
        for name in ("WaitingRequests", "KVCacheUsage", "TimeToFirstToken")
    ]
    spec = found(scaled("KEDA", autoscaling={**TO_ZERO, "targets": targets}), "ScaledObject")[
        "spec"
    ]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 3)
    *asked, activity = spec["triggers"]
    assert [each["metricType"] for each in asked] == ["AverageValue", "AverageValue", "Value"]
    for each in asked:
        assert each["metadata"]["serverAddress"] == "http://prometheus.monitoring.svc:9090"
        assert each["metadata"]["threshold"] == "9"
        assert 'namespace="default",name="web"' in each["metadata"]["query"]
    assert activity["type"] == "metrics-api"
    assert activity["metadata"]["url"] == "http://web-activator.default.svc:8791/activity"
    kept = found(scaled("KEDA", autoscaling={"minReplicas": 2}), "ScaledObject")["spec"]
    assert kept["minReplicaCount"] == 2
    assert [each["type"] for each in kept["triggers"]] == ["prometheus"]


def test_a_quota_below_the_minimum_takes_the_minimum_with_it() -> None:
    made = scaled("HPA", 2, autoscaling={"minReplicas": 3, "maxReplicas": 8})
    spec = found(made, "HorizontalPodAutoscaler")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 2)


def test_one_service_for_servers_and_activator() -> None:
    pods = found(scaled(), "Deployment", "web-activator")["spec"]["template"]["metadata"]["labels"]
    servers = found(scaled(), "Deployment")["spec"]["template"]["metadata"]["labels"]
    chosen = found(scaled(), "Service")["spec"]["selector"]
    assert chosen.items() <= pods.items() and chosen.items() <= servers.items()
    # What the operator watches as a server is none, nor does its Deployment take it for one.
    assert labels.MANAGED_BY not in pods
    for other in (found(scaled(), "Deployment"), found(serving_alone(), "Service")):
        wanted = other["spec"]["selector"]
        wanted = wanted.get("matchLabels", wanted)
        assert not wanted.items() <= pods.items()


def serving_alone() -> Serving:
    return scaled(autoscaling={"minReplicas": 1})


def test_to_zero_changes_no_pod_and_no_revision() -> None:
    plain, zero = serving(), scaled()
    one, two = (found(each, "Deployment")["spec"]["template"] for each in (plain, zero))
    assert one == two
    assert revision.inputs_of(plain.spec, plain.weights) == revision.inputs_of(
        zero.spec, zero.weights
    )


def test_the_activator_is_told_apart_from_servers_by_its_port() -> None:
    for port in (8000, activator.PORT):
        made = scaled(endpoint={"port": port})
        engine = found(made, "Deployment")["spec"]["template"]["spec"]["containers"][0]
        pod = found(made, "Deployment", "web-activator")["spec"]["template"]["spec"]
        ours = pod["containers"][0]["ports"][0]
        assert ours["name"] == engine["ports"][0]["name"] == "http"
        assert ours["containerPort"] != engine["ports"][0]["containerPort"]
        assert f"--port={ours['containerPort']}" in pod["containers"][0]["args"]


def test_the_activator_waits_as_long_as_a_start_may_take_and_knows_the_keys() -> None:
    made = scaled(startup={"budget": "100s"}, drain={"timeout": "45s"})
    pod = found(made, "Deployment", "web-activator")["spec"]["template"]["spec"]
    args = pod["containers"][0]["args"]
    assert "--idle-after=90" in args and "--hold-timeout=700" in args
    assert "--drain-timeout=45" in args and "--keys=/etc/llama-keys" in args
    assert pod["volumes"][1]["secret"]["secretName"] == "web-api-key"
    open_ = scaled(auth={"mode": "None"})
    pod = found(open_, "Deployment", "web-activator")["spec"]["template"]["spec"]
    assert not [each for each in pod["containers"][0]["args"] if each.startswith("--keys")]
    assert [each["name"] for each in pod["volumes"]] == ["tmp"]


def test_the_activator_is_restricted() -> None:
    pod = found(scaled(), "Deployment", "web-activator")["spec"]["template"]["spec"]
    security = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_its_rights_end_at_the_deployment_and_are_a_part_of_the_operators() -> None:
    rules = found(scaled(), "Role", "web-activator")["rules"]
    assert [rule.get("resourceNames") for rule in rules] == [["web"], ["web"], None]
    held = {
        (group, resource, verb)
        for group, resources, verbs in WATCHED
        for resource in resources
        for verb in verbs
    }
    for rule in rules:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                assert (rule["apiGroups"][0], resource, verb) in held
    assert not [rule for rule in rules if "secrets" in rule["resources"]]


def test_peers_that_are_named_reach_the_activator_and_it_the_servers() -> None:
    peer = {"podSelector": {"matchLabels": {"app": "gateway"}}}
    made = scaled(endpoint={"networkPolicy": {"from": [peer]}})
    ours = found(made, "NetworkPolicy", "web-activator")["spec"]["ingress"]
    assert ours[0]["from"] == [peer]
    assert ours[1]["ports"] == [{"port": 8791, "protocol": "TCP"}]
    servers = found(made, "NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert servers[0] == peer
    assert servers[1]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "activator"
    off = scaled(endpoint={"networkPolicy": {"enabled": False}})
    assert not {each for each in names(off) if each[0] == "NetworkPolicy"}
