"""What the chart renders: valid, restricted, and the operator's own arguments."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from llama_operator import main as program
from llama_operator.api.v1alpha1_weights import CaBundle
from llama_operator.catalog import catalog
from llama_operator.chart.generate import CHART
from llama_operator.config import Config
from llama_operator.render.inputs import Settings
from tests.chart.helm import Refused, arguments, helm, of, pod, rendered
from tests.chart.kinds import validate
from tests.chart.variants import EVERYTHING, MODEL, VARIANTS
from tests.docs.markdown import PROJECT
from tests.support.podsecurity import findings

Object = dict[str, Any]
each_variant = pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)


def config(objects: list[Object]) -> Config:
    """What the operator makes of the arguments that it would get."""
    words = arguments(objects)[2:]
    context = program.run.make_context("run", list(words))
    return program._config(context.params)


def test_lint_finds_nothing() -> None:
    said = helm("lint", "--strict", "--quiet", str(CHART))
    assert "WARNING" not in said
    assert "ERROR" not in said


@each_variant
def test_every_object_is_valid_and_restricted(values: Object) -> None:
    objects = rendered(values)
    for obj in objects:
        validate(obj)
        assert len(obj["metadata"]["name"]) <= 63
    pods = [pod(objects), *(each["spec"] for each in objects if each["kind"] == "Pod")]
    assert [findings(each) for each in pods] == [[]] * len(pods)
    assert bool(pods[0]["securityContext"].get("runAsUser")) == (values.get("podUserId") != 0)


def test_findings_are_found() -> None:
    bare = {"containers": [{"name": "c"}]}
    assert len(findings(bare)) == 5
    host = {**pod(rendered()), "hostNetwork": True, "volumes": [{"name": "v", "hostPath": {}}]}
    assert findings(host) == ["hostNetwork", "volume v"]


@each_variant
def test_what_selects_the_operator_selects_its_pods_and_no_others(values: Object) -> None:
    objects = rendered(values)
    labels = of("Deployment", objects)["spec"]["template"]["metadata"]["labels"].items()
    selectors = [of("Service", objects)["spec"]["selector"]]
    selectors += [of("Deployment", objects)["spec"]["selector"]["matchLabels"]]
    for kind, field in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        selectors += [
            each["spec"][field]["matchLabels"] for each in objects if each["kind"] == kind
        ]
    others = [each["metadata"]["labels"].items() for each in objects if each["kind"] == "Pod"]
    for selector in selectors:
        assert selector.items() <= labels
        assert not any(selector.items() <= other for other in others)


def test_the_operator_gets_what_the_values_say() -> None:
    found = config(rendered(EVERYTHING))
    assert found == Config(
        workers=8,
        health_host="::",
        health_port=9000,
        metrics_tls_dir="/etc/llama-metrics",
        metrics_client_ca="/etc/llama-metrics-clients/ca.crt",
        metrics_per_object=True,
        log_format="text",
        log_level="debug",
        models_file="/etc/llama-models/models.yaml",
        settings=Settings(
            weights_image="mirror.example.com/hub/llama-weights:v9",
            weights_runtime_class="kata",
            hf_endpoint="https://hub.example.com",
            hf_token_secret="token",
            user_id=2147483647,
            operator_namespace="llama-system",
            monitoring_namespaces=("prom", "prom2"),
            http_proxy="http://proxy:3128",
            https_proxy="http://proxy:3129",
            no_proxy=("10.0.0.0/8", ".corp.example"),
            ca_bundle=CaBundle(config_map_name="corp-ca", key="bundle.pem"),
            image_registry="mirror.example.com/hub",
            otlp_endpoint="http://collector.otel.svc:4318/v1/traces",
            prometheus_address="http://prom.prom.svc:9090",
            keda_namespace="scalers",
            group_env=(("NCCL_IB_HCA", "mlx5"),),
            group_resources=(("rdma/ib", "1"),),
            activator_image="mirror.example.com/hub/llm/op@sha256:" + "a" * 64,
            picker_image="mirror.example.com/hub/gateway-api-inference-extension/epp:v9",
            gateway_namespaces=("edge",),
        ),
    )


def test_by_default_the_operator_gets_its_own_defaults() -> None:
    image = "llama-weights:0.1.0"
    assert config(rendered()) == Config(
        health_host="0.0.0.0", settings=Settings(weights_image=image)
    )
    least = config(rendered(VARIANTS["least"]))
    assert least.settings.monitoring_namespaces == ()
    assert config(rendered(VARIANTS["one-namespace"])).watch_namespace == "team-a"


def test_probes_and_service_lead_to_the_port_that_is_listened_on() -> None:
    objects = rendered(EVERYTHING)
    (container,) = pod(objects)["containers"]
    assert container["ports"] == [{"name": "metrics", "containerPort": 9000, "protocol": "TCP"}]
    paths = {name: container[f"{name}Probe"]["httpGet"] for name in ("liveness", "readiness")}
    assert paths == {
        "liveness": {"path": "/healthz", "port": "metrics", "scheme": "HTTPS"},
        "readiness": {"path": "/readyz", "port": "metrics", "scheme": "HTTPS"},
    }
    (port,) = of("Service", objects)["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, "metrics")
    asks = of("Pod", objects)["spec"]["containers"][0]["args"][0]
    assert "https://ops.llama-system.svc:80/readyz" in asks
    compile(asks, "test", "exec")


def test_images_come_by_digest_by_tag_and_from_the_mirror() -> None:
    def image(**values: Any) -> str:
        return str(pod(rendered(values))["containers"][0]["image"])

    digest = "sha256:" + "a" * 64
    assert image() == "llama-operator:0.1.0"
    assert image(image={"repository": "ghcr.io/x/op", "tag": "t"}) == "ghcr.io/x/op:t"
    assert image(image={"tag": "t", "digest": digest}) == f"llama-operator@{digest}"
    assert image(image=EVERYTHING["image"], imageRegistry="m:5000") == f"m:5000/llm/op@{digest}"
    assert image(imageRegistry="m.example/hub") == "m.example/hub/llama-operator:0.1.0"


def test_extra_models_reach_the_catalogue() -> None:
    objects = rendered(EVERYTHING)
    text = of("ConfigMap", objects, "ops-models")["data"]["models.yaml"]
    model = catalog.load(extra=yaml.safe_load(text)).find("mine-1b")
    assert model is not None
    assert model.weights_bytes == 723642240
    other = {**EVERYTHING, "extraModels": [{**MODEL, "params": 1}]}
    templates = [of("Deployment", each)["spec"]["template"] for each in (objects, rendered(other))]
    assert templates[0] != templates[1], "a changed model must restart the operator"


def test_who_may_connect() -> None:
    (rule,) = of("NetworkPolicy", rendered(EVERYTHING))["spec"]["ingress"]
    names = [
        each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for each in rule["from"]
        if "namespaceSelector" in each
    ]
    assert names == ["prom", "prom2"]
    assert {"podSelector": {"matchLabels": {"app": "curl"}}} in rule["from"]
    assert {"podSelector": {}} in rule["from"]  # `helm test` is in the same namespace
    assert rule["ports"] == [{"port": "metrics", "protocol": "TCP"}]
    assert of("NetworkPolicy", rendered())["spec"]["policyTypes"] == ["Ingress"]


def test_releases_of_any_name_can_stand_side_by_side() -> None:
    names = [
        {(each["kind"], each["metadata"]["name"]) for each in rendered(values, release=release)}
        for release, values in (
            ("a", {"watchNamespace": "one", "crds": {"enabled": False}}),
            ("b", {"watchNamespace": "two", "crds": {"enabled": False}}),
        )
    ]
    assert not names[0] & names[1]
    assert of("Deployment", rendered(release="x"))["metadata"]["name"] == "x-llama-operator"


def test_a_policy_is_made_for_a_limit_and_refused_without_one() -> None:
    def policies(**limits: Any) -> set[str]:
        found = rendered({"admissionPolicy": {"enabled": True, **limits}})
        kind = "ValidatingAdmissionPolicy"
        return {each["metadata"]["name"] for each in found if each["kind"] == kind}

    assert policies(images=["vllm/*"]) == {"llama-operator-llamadeployments"}
    assert policies(collectors=[]) == {"llama-operator-llamadeployments"}
    assert len(policies(claims=[])) == len(policies(secrets=["hf-*"])) == 2
    with pytest.raises(Refused, match="nothing is limited yet; list what is allowed in admission"):
        policies()
    with pytest.raises(Refused, match="nothing is limited yet"):
        policies(images=["vllm/*", "*"])


def test_notes_say_what_comes_next() -> None:
    def notes(*args: str) -> str:
        command = ("install", "llama", str(CHART), "--dry-run=client", "--namespace=sys")
        return helm(*command, *args).split("NOTES:")[1]

    said = notes()
    assert "kubectl -n sys rollout status deployment/llama-llama-operator" in said
    assert "Prometheus Operator was not found" in said
    assert "uninstall deletes the CRDs" in notes("--set=crds.keep=false")


def test_the_chart_says_what_it_is_and_what_is_new() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    site, _, picture = about["icon"].partition("//")[2].partition("/")
    assert (site, (PROJECT / "docs" / picture).is_file()) == ("llamactl.dev", True)
    notes = about["annotations"]
    for name in ("license", "category", "changes", "crds", "crdsExamples"):
        assert notes[f"artifacthub.io/{name}"].strip(), name
    changes = yaml.safe_load(notes["artifacthub.io/changes"])
    assert {each["kind"] for each in changes} <= {"added", "changed", "fixed", "security"}
    assert all(each["description"] for each in changes)
