"""Proxy, authorities and mirror in everything that is rendered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from kubernetes import client
from tests.support.builders import (
    COMMIT,
    deployment,
    deployment_view,
    ready_weights,
    serving,
    weights,
    weights_view,
    world,
)

from llama_operator import main
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.api.v1alpha1_weights import CaBundle
from llama_operator.planner import versions
from llama_operator.reconcile import decide, planning, source
from llama_operator.render import jobs, pod
from llama_operator.render.inputs import Settings
from llama_operator.render.outward import mirrored, proxy_env

Object = dict[str, Any]
OUTWARD = Settings(
    http_proxy="http://p:1",
    https_proxy="http://p:2",
    no_proxy=("10.0.0.0/8",),
    ca_bundle=CaBundle(config_map_name="corp", key="bundle.pem"),
)
INSIDE = "localhost,127.0.0.1,::1,.svc,.cluster.local,$(KUBERNETES_SERVICE_HOST)"


def server(settings: Settings, **spec: Any) -> Object:
    return dict(pod.template(replace(serving(**spec), settings=settings))["spec"])


def job(name: str, settings: Settings, **spec: Any) -> Object:
    raw = weights(status={"commit": COMMIT, "bytes": 16_000_000_000}, **spec)
    wish = source.fetching(weights_view(raw, world=world(settings=settings)))
    made = {"preflight": jobs.preflight, "fetch": jobs.fetch}[name](wish)
    return dict(made["spec"]["template"]["spec"])


PODS: dict[str, Callable[..., Object]] = {
    "server": server,
    "preflight": lambda settings, **spec: job("preflight", settings, **spec),
    "fetch": lambda settings, **spec: job("fetch", settings, **spec),
}
each_pod = pytest.mark.parametrize("name", PODS)


def variables(made: Object) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in made["containers"][0]["env"]}


@each_pod
def test_all_pods_go_by_the_proxy_and_trust_the_authorities(name: str) -> None:
    made = PODS[name](OUTWARD)
    client.V1PodSpec.model_validate(made)
    env = variables(made)
    assert (env["HTTP_PROXY"], env["HTTPS_PROXY"]) == ("http://p:1", "http://p:2")
    assert env["NO_PROXY"] == f"{INSIDE},10.0.0.0/8"
    mounts = {each["name"]: each["mountPath"] for each in made["containers"][0]["volumeMounts"]}
    assert env["SSL_CERT_FILE"] == f"{mounts['ca']}/ca.crt"
    volume = next(each for each in made["volumes"] if each["name"] == "ca")
    items = [{"key": "bundle.pem", "path": "ca.crt"}]
    assert volume["configMap"] == {"name": "corp", "items": items}


@each_pod
def test_without_settings_nothing_is_added(name: str) -> None:
    made = PODS[name](Settings())
    assert not {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"} & set(variables(made))
    assert "ca" not in {each["name"] for each in made["volumes"]}
    assert proxy_env(Settings(no_proxy=("x",))) == []


def test_a_spec_wins_over_the_operators_settings() -> None:
    own = {"caBundle": {"configMapName": "mine"}}
    made = job("fetch", OUTWARD, **own)
    assert [v["configMap"]["name"] for v in made["volumes"] if v["name"] == "ca"] == ["mine"]
    env = [{"name": "HTTPS_PROXY", "value": "http://other:1"}]
    names = [e["name"] for e in server(OUTWARD, engine={"env": env})["containers"][0]["env"]]
    assert names.count("HTTPS_PROXY") == 1
    assert variables(server(OUTWARD, engine={"env": env}))["HTTPS_PROXY"] == "http://other:1"


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("vllm/vllm-openai:v1", "m.example/hub/vllm/vllm-openai:v1"),
        ("public.ecr.aws/q9/vllm:v1", "m.example/hub/q9/vllm:v1"),
        ("localhost/x:1", "m.example/hub/x:1"),
        ("host:5000/x/y@sha256:ab", "m.example/hub/x/y@sha256:ab"),
    ],
)
def test_a_mirror_has_the_same_path(image: str, found: str) -> None:
    assert mirrored(image, "m.example/hub") == found
    assert mirrored(image, "") == image


def test_only_an_image_that_nobody_named_comes_from_the_mirror() -> None:
    def image(**engine: Any) -> str:
        spec = LlamaDeploymentSpec.model_validate({"model": "m", "engine": engine})
        return planning.engine_image(spec, "m.example")

    assert image() == f"m.example/{versions.DEFAULT_IMAGE}"
    assert image(image="vllm/vllm-openai:v0.9.0") == "vllm/vllm-openai:v0.9.0"


def test_the_mirror_reaches_what_is_decided() -> None:
    raw = deployment()
    view = deployment_view(
        raw, weights=ready_weights(raw), world=world(settings=Settings(image_registry="m.example"))
    )
    judged = planning.judge(view.spec, view.world.catalog, view.world.nodes, view.weights)
    assert decide.serving(view, judged).image == f"m.example/{versions.DEFAULT_IMAGE}"


@pytest.mark.parametrize("text", ["UPPER", "/key", "two words"])
def test_a_ca_bundle_that_is_none_is_wrong_usage(text: str) -> None:
    result = CliRunner().invoke(main.main, ["run", f"--ca-bundle={text}"])
    assert result.exit_code == 2
    assert f"{text!r} is not CONFIGMAP or CONFIGMAP/KEY" in result.output
