"""The chart's ValidatingAdmissionPolicy, judged by a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import yaml
from tests.chart.helm import rendered
from tests.integration.rawapi import RawApi
from tests.support.cluster import Cluster
from tests.support.stack import wait_for

pytestmark = pytest.mark.cluster
Object = dict[str, Any]
NAMESPACE = "limited"
# Bound to one namespace, since other tests use the same API server.
VALUES: Object = {
    "crds": {"enabled": False},
    "admissionPolicy": {
        "enabled": True,
        "images": ["vllm/vllm-openai:*", "registry.example.com/vllm@sha256:" + "a" * 64],
        "endpoints": ["https://hub.example.com"],
        "claims": ["llama-*"],
        "collectors": ["http://otel.example.com:4317"],
        "secrets": ["hf-*", "url"],
        "gateways": ["infra/*", "limited/own"],
        "deviceClasses": ["gpu.nvidia.com"],
        "hosts": ["llama.example.com", "*.team.example.com"],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
    },
}
HUB = "https://hub.example.com"


def env(*secrets: str) -> Object:
    """A spec whose variables come from Secrets, a ConfigMap and nowhere."""
    refs = [{"secretKeyRef": {"name": each, "key": "k"}} for each in secrets]
    variables = [
        {"name": f"V{n}", "valueFrom": ref}
        for n, ref in enumerate([*refs, {"configMapKeyRef": {"name": "other", "key": "k"}}])
    ]
    return {"engine": {"env": [{"name": "PLAIN", "value": "x"}, *variables]}}


def adapter(**source: Object) -> Object:
    """A spec with two LoRA adapters, of which the second is in question."""
    first = {"huggingFace": {"repo": "org/first"}}
    given = [{"name": "a", "source": first}, {"name": "b", "source": source}]
    return {"lora": {"enabled": True}, "adapters": given}


def route(parent: Object, *hosts: str) -> Object:
    """A spec with a route of two Gateways, of which the second is in question."""
    parents = [{"name": "public", "namespace": "infra"}, parent]
    return {"endpoint": {"httpRoute": {"parentRefs": parents, "hostnames": list(hosts)}}}


def ingress(host: str, secret: str = "") -> Object:
    return {"endpoint": {"ingress": {"host": host, "tlsSecretName": secret}}}


HOST = "llama.example.com"
ALLOWED: list[tuple[str, Object]] = [
    ("LlamaDeployment", {}),
    ("LlamaDeployment", {"engine": {"image": "vllm/vllm-openai:v0.24.0"}}),
    ("LlamaDeployment", {"engine": {"image": ""}}),
    ("LlamaDeployment", {"gpu": {"deviceClassName": "gpu.nvidia.com"}}),
    ("LlamaDeployment", {"gpu": {"deviceClassName": "", "count": 1}}),
    ("LlamaDeployment", {"engine": {"image": "registry.example.com/vllm@sha256:" + "a" * 64}}),
    ("LlamaDeployment", {"source": {"huggingFace": {"endpoint": HUB}}}),
    ("LlamaDeployment", {"source": {"meta": {"urlSecretRef": {"name": "url"}}}}),
    ("LlamaWeights", {"storage": {"claimName": "llama-70b"}}),
    ("LlamaDeployment", env("hf-token", "url")),
    ("LlamaDeployment", {"auth": {"secretName": ""}}),
    ("LlamaDeployment", {"engine": {"imagePullSecrets": [{"name": "hf-registry"}]}}),
    ("LlamaWeights", {"source": {"huggingFace": {"tokenSecretRef": {"name": "hf-token"}}}}),
    ("LlamaDeployment", {"observability": {"otlpEndpoint": "http://otel.example.com:4317"}}),
    ("LlamaWeights", {"source": {"claim": {"name": "llama-nfs"}}}),
    ("LlamaDeployment", adapter(huggingFace={"repo": "org/a", "endpoint": HUB})),
    ("LlamaDeployment", adapter(claim={"name": "llama-nfs"})),
    ("LlamaDeployment", {"endpoint": {"port": 80}}),
    ("LlamaDeployment", route({"name": "own"}, HOST, "a.team.example.com")),
    ("LlamaDeployment", route({"name": "b", "namespace": "infra"}, "*.team.example.com")),
    ("LlamaDeployment", ingress(HOST, "hf-tls")),
    ("LlamaDeployment", ingress("a.b.team.example.com")),
]
REFUSED: list[tuple[str, Object, str]] = [
    ("LlamaDeployment", {"engine": {"image": "evil/vllm:v1"}}, "spec.engine.image: evil/vllm:v1"),
    (
        "LlamaDeployment",
        {"engine": {"image": "vllm/vllm-openai-evil:v1"}},
        "allowed: vllm/vllm-openai:*, registry.example.com/vllm@sha256",
    ),
    (
        "LlamaDeployment",
        {"source": {"huggingFace": {"endpoint": f"{HUB}.evil.example"}}},
        f"spec.source.huggingFace.endpoint: {HUB}.evil.example is not allowed here",
    ),
    (
        "LlamaWeights",
        {"source": {"huggingFace": {"endpoint": "http://hub.example.com"}}},
        "admissionPolicy.endpoints of the chart",
    ),
    (
        "LlamaDeployment",
        {"gpu": {"deviceClassName": "vfio.gpu.nvidia.com"}},
        "spec.gpu.deviceClassName: vfio.gpu.nvidia.com is not allowed here; allowed: gpu.nvidia.com;",
    ),
    ("LlamaWeights", {"storage": {"claimName": "other"}}, "spec.storage.claimName: other"),
    ("LlamaDeployment", {"source": {"claim": {"name": "xllama-a"}}}, "spec.source.claim.name"),
    (
        "LlamaDeployment",
        env("hf-token", "database"),
        "spec.engine.env[].valueFrom.secretKeyRef.name: database is not allowed here; "
        "allowed: hf-*, url; leave the field out",
    ),
    (
        "LlamaDeployment",
        {"engine": {"imagePullSecrets": [{"name": "hf-a"}, {"name": "database"}]}},
        "spec.engine.imagePullSecrets[].name: database",
    ),
    ("LlamaDeployment", {"auth": {"secretName": "database"}}, "spec.auth.secretName: database"),
    (
        "LlamaWeights",
        {"source": {"huggingFace": {"tokenSecretRef": {"name": "database"}}}},
        "spec.source.huggingFace.tokenSecretRef.name: database",
    ),
    (
        "LlamaDeployment",
        {"source": {"meta": {"urlSecretRef": {"name": "urls"}}}},
        "spec.source.meta.urlSecretRef.name: urls",
    ),
    (
        "LlamaDeployment",
        {"observability": {"otlpEndpoint": "http://otel.example.com:4318"}},
        "spec.observability.otlpEndpoint: http://otel.example.com:4318",
    ),
    (
        "LlamaDeployment",
        adapter(huggingFace={"repo": "org/a", "endpoint": f"{HUB}.evil.example"}),
        f"spec.adapters[].source.huggingFace.endpoint: {HUB}.evil.example",
    ),
    (
        "LlamaDeployment",
        adapter(huggingFace={"repo": "org/a", "tokenSecretRef": {"name": "database"}}),
        "spec.adapters[].source.huggingFace.tokenSecretRef.name: database",
    ),
    (
        "LlamaDeployment",
        adapter(claim={"name": "other"}),
        "spec.adapters[].source.claim.name: other",
    ),
    (
        "LlamaDeployment",
        route({"name": "other"}, HOST),
        "spec.endpoint.httpRoute.parentRefs[].name: limited/other is not allowed here; allowed: "
        "infra/*, limited/own",
    ),
    (
        "LlamaDeployment",
        route({"name": "own", "namespace": "infra-2"}, HOST),
        "spec.endpoint.httpRoute.parentRefs[].name: infra-2/own",
    ),
    (
        "LlamaDeployment",
        route({"name": "own"}, HOST, "evilteam.example.com"),
        "spec.endpoint.httpRoute.hostnames[]: evilteam.example.com",
    ),
    ("LlamaDeployment", route({"name": "own"}), "spec.endpoint.httpRoute.hostnames[]: *"),
    (
        "LlamaDeployment",
        ingress("team.example.com"),
        "spec.endpoint.ingress.host: team.example.com is not allowed here; allowed: "
        "llama.example.com, *.team.example.com",
    ),
    (
        "LlamaDeployment",
        ingress(HOST, "database"),
        "spec.endpoint.ingress.tlsSecretName: database",
    ),
]


def obj(kind: str, spec: Object, name: str = "one") -> Object:
    return {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"model": "llama-3.1-8b-instruct", **spec},
    }


def refused(api: RawApi, wish: Object) -> bool:
    return api.create(wish).status == 403


@pytest.fixture(scope="module")
def limited(api_cluster: Cluster) -> Iterator[RawApi]:
    """Requests in a namespace that the policy binds; a LlamaWeights was there before."""
    text = yaml.safe_dump_all(each for each in rendered(VALUES) if "AdmissionPol" in each["kind"])
    api = RawApi(api_cluster.kubeconfig, NAMESPACE)
    api_cluster.kubectl("create", "namespace", NAMESPACE)
    api.create(obj("LlamaWeights", {"storage": {"claimName": "other"}}, "old"), dry_run=False)
    api_cluster.kubectl("apply", "--server-side", "--validate=strict", "-f", "-", input=text)
    for kind in ("LlamaDeployment", "LlamaWeights"):
        other = obj(kind, {"storage": {"claimName": "other"}})
        wait_for(partial(refused, api, other), 20, "the policy to be in force")
    yield api
    api_cluster.kubectl("delete", "-f", "-", input=text)
    api_cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_what_is_listed_or_left_to_the_operator_is_allowed(limited: RawApi) -> None:
    for kind, spec in ALLOWED:
        answer = limited.create(obj(kind, spec))
        assert answer.status == 201, answer.body


def test_all_else_is_refused_with_field_value_and_fix(limited: RawApi) -> None:
    for kind, spec, words in REFUSED:
        answer = limited.create(obj(kind, spec))
        assert (answer.status, answer.body["reason"]) == (403, "Forbidden"), spec
        assert words in answer.body["message"]
        assert "leave the field out, or ask for an entry in admissionPolicy." in str(answer.body)


def test_other_namespaces_are_not_bound(limited: RawApi, api: RawApi) -> None:
    for kind, spec, _ in REFUSED:
        free = obj(kind, spec)
        free["metadata"]["namespace"] = "default"
        assert api.create(free).status == 201


def test_what_was_there_goes_on_but_cannot_be_changed(limited: RawApi) -> None:
    for finalizers in (["example.com/x"], None):
        patch = {"metadata": {"finalizers": finalizers}}
        assert limited.merge("LlamaWeights", "old", patch, dry_run=False).status == 200
    changed = limited.merge("LlamaWeights", "old", {"spec": {"retention": {"policy": "Retain"}}})
    assert changed.status == 403
    assert "spec.storage.claimName: other is not allowed here" in changed.body["message"]


def test_the_servers_own_type_check_finds_nothing(limited: RawApi, api_cluster: Cluster) -> None:
    def checked() -> list[Object]:
        text = api_cluster.kubectl("get", "validatingadmissionpolicies", "-o", "json")
        ours = [each for each in json.loads(text)["items"] if "llama" in each["metadata"]["name"]]
        return ours if all("typeChecking" in each.get("status", {}) for each in ours) else []

    found = wait_for(checked, 20, "type checks")
    assert [each["status"]["typeChecking"] for each in found] == [{}, {}]
