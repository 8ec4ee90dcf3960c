"""Pods that claim their GPUs, and what they get their claims of."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client
from tests.support.builders import H100, serving

from llama_operator.api.template import WORKER
from llama_operator.render import devices, pod, render, resources, revision
from llama_operator.render.inputs import Canary, Object, Serving

CLASS = "gpu.nvidia.com"


def claiming(count: int = 2, gpu: Object | None = None, **spec: Any) -> Serving:
    return serving(gpu={"count": count, "deviceClassName": CLASS, **(gpu or {})}, **spec)


def objects(wish: Serving, kind: str) -> list[Object]:
    return [obj for obj in render.serving_objects(wish) if obj["kind"] == kind]


def template_of(wish: Serving) -> Object:
    (found,) = objects(wish, devices.KIND)
    return found


def request(wish: Serving) -> Object:
    (found,) = template_of(wish)["spec"]["spec"]["devices"]["requests"]
    return dict(found["exactly"])


def test_a_pod_claims_its_gpus_and_counts_none() -> None:
    spec = pod.template(claiming())["spec"]
    (engine,) = spec["containers"]
    (claim,) = spec["resourceClaims"]
    assert engine["resources"]["claims"] == [{"name": claim["name"]}]
    assert claim["resourceClaimTemplateName"] == template_of(claiming())["metadata"]["name"]
    counted = {*engine["resources"].get("requests", {}), *engine["resources"].get("limits", {})}
    assert not {name for name in counted if "gpu" in name}
    assert "nodeSelector" not in spec
    assert "nvidia.com/gpu" in {each["key"] for each in spec["tolerations"]}


def test_without_a_class_nothing_is_claimed() -> None:
    spec = pod.template(serving(gpu={"count": 2}))["spec"]
    assert "resourceClaims" not in spec
    assert "claims" not in spec["containers"][0]["resources"]
    assert objects(serving(), devices.KIND) == []
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"


def test_exactly_the_gpus_of_the_planned_product_are_asked_for() -> None:
    asked = request(claiming(4))
    assert (asked["deviceClassName"], asked["allocationMode"], asked["count"]) == (CLASS, "ExactCount", 4)  # fmt: skip
    (selector,) = asked["selectors"]
    assert json.dumps(H100) in selector["cel"]["expression"]


def test_a_product_that_a_node_tells_is_text_to_cel() -> None:
    hostile = "x' || true || '\""
    wish = claiming()
    (selector,) = request(replace(wish, plan=replace(wish.plan, gpu_product=hostile)))["selectors"]
    _, _, told = selector["cel"]["expression"].rpartition(" == ")
    assert json.loads(told) == hostile


@pytest.mark.parametrize("gpu", [{"product": "", "memory": "80Gi"}, {"memory": "80Gi"}])
def test_where_the_memory_is_given_the_product_is_not_asked_for(gpu: Object) -> None:
    assert "selectors" not in request(claiming(1, gpu))


def test_its_name_follows_from_what_is_claimed_alone() -> None:
    name = template_of(claiming())["metadata"]["name"]
    assert template_of(claiming(engine={"args": ["--seed=1"]}))["metadata"]["name"] == name
    assert template_of(claiming(4))["metadata"]["name"] != name
    assert template_of(claiming(2, {"memory": "80Gi"}))["metadata"]["name"] != name
    other = serving("other", gpu={"count": 2, "deviceClassName": CLASS})
    assert template_of(other)["metadata"]["name"] != name


def test_a_kept_revision_makes_the_template_that_its_pods_name() -> None:
    old = revision.template(claiming(2))
    made = render.serving_objects(claiming(4), old)
    (template,) = (obj for obj in made if obj["kind"] == devices.KIND)
    (claim,) = old["spec"]["resourceClaims"]
    assert template["metadata"]["name"] == claim["resourceClaimTemplateName"]
    assert devices.count_of(old) == 2


def test_a_canary_has_its_own_template_beside_that_of_the_servers() -> None:
    wish = replace(claiming(2), canary=Canary(revision.template(claiming(4)), 0))
    counts = [
        obj["spec"]["spec"]["devices"]["requests"][0]["exactly"]["count"]
        for obj in objects(wish, devices.KIND)
    ]
    assert counts == [2, 4]
    same = replace(claiming(2), canary=Canary(revision.template(claiming(2)), 0))
    assert len(objects(same, devices.KIND)) == 1


def test_it_is_made_before_the_pods_that_name_it() -> None:
    kinds = [obj["kind"] for obj in render.serving_objects(claiming())]
    assert kinds.index(devices.KIND) < kinds.index("Deployment")


def test_each_rank_of_a_group_claims_those_of_its_own_node() -> None:
    spec: Object = {"sizing": {"nodes": 2, "tensorParallel": 8}}
    wish = serving(
        gpu={"deviceClassName": CLASS}, storage={"accessModes": ["ReadWriteMany"]}, **spec
    )
    whole = revision.template(wish)
    assert request(wish)["count"] == 4
    for part in (whole, whole[WORKER]):
        assert part["spec"]["resourceClaims"] == whole["spec"]["resourceClaims"]
        assert part["spec"]["containers"][0]["resources"]["claims"] == [{"name": devices.CLAIM}]


@pytest.mark.parametrize("resource", ["InferenceService", "LLMInferenceService"])
def test_servers_of_kserve_claim_as_well(resource: str) -> None:
    wish = claiming(backend="kserve", kserve={"resource": resource})
    (made,) = objects(wish, resource)
    spec = made["spec"].get("predictor") or made["spec"]["template"]
    assert spec["resourceClaims"][0]["resourceClaimTemplateName"] == template_of(wish)["metadata"]["name"]  # fmt: skip
    assert spec["containers"][0]["resources"]["claims"] == [{"name": devices.CLAIM}]


def test_what_is_rendered_is_valid_for_the_typed_models() -> None:
    for wish in (claiming(), claiming(1, {"memory": "80Gi"})):
        client.V1ResourceClaimTemplate.model_validate(template_of(wish))
        found = client.V1PodTemplateSpec.model_validate(pod.template(wish))
        assert found.spec.resource_claims[0].name == devices.CLAIM


def test_cpus_claim_a_device_for_each_rank_without_a_product() -> None:
    wish = serving(
        gpu={"count": 1, "product": "", "deviceClassName": CLASS},
        engine={"device": "cpu", "image": "x:0.32.0"},
    )
    assert request(wish) == {"deviceClassName": CLASS, "allocationMode": "ExactCount", "count": 1}


def test_the_quota_of_a_class_is_another_one() -> None:
    assert resources.quota_of(claiming().spec) == f"{CLASS}.deviceclass.resource.k8s.io/devices"
    assert resources.quota_of(serving().spec) == "requests.nvidia.com/gpu"
