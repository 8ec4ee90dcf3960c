"""Traces: where a collector is named, by field or setting, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError
from tests.support.builders import deployment, ready_weights, serving

from llama_operator import main
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.reconcile.copies import copy_of
from llama_operator.render import pod
from llama_operator.render.inputs import Settings
from llama_operator.render.revision import inputs_of

Object = dict[str, Any]
FLAG = "--otlp-traces-endpoint"
GRPC, HTTP = "http://collector.otel.svc:4317", "http://collector.otel.svc:4318/v1/traces"


def engine(endpoint: str = "", setting: str = "", **spec: Any) -> Object:
    observed: Any = {"observability": {"otlpEndpoint": endpoint}} if endpoint else {}
    made = replace(serving(**spec, **observed), settings=Settings(otlp_endpoint=setting))
    (container,) = pod.template(made)["spec"]["containers"]
    return dict(container)


def traced(container: Object) -> Object:
    env = {each["name"]: each.get("value") for each in container["env"]}
    return {name: value for name, value in env.items() if name.startswith("OTEL_")}


def flags(container: Object) -> list[str]:
    return [arg for arg in container["args"] if arg.startswith(FLAG)]


def test_without_a_collector_there_is_no_flag_and_no_variable() -> None:
    assert (flags(engine()), traced(engine())) == ([], {})


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [(GRPC, "grpc"), (f"{GRPC}/", "grpc"), (HTTP, "http/protobuf")],
)
def test_the_field_turns_traces_on_and_the_path_tells_the_protocol(
    endpoint: str, protocol: str
) -> None:
    found = engine(endpoint)
    assert flags(found) == [f"{FLAG}={endpoint}"]
    assert traced(found) == {
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": protocol,
        "OTEL_SERVICE_NAME": "web",
        "OTEL_RESOURCE_ATTRIBUTES": "k8s.namespace.name=default",
    }


def test_the_setting_is_for_those_that_name_none_and_the_user_has_the_last_word() -> None:
    assert flags(engine(setting=GRPC)) == [f"{FLAG}={GRPC}"]
    assert flags(engine(HTTP, setting=GRPC)) == [f"{FLAG}={HTTP}"]
    own = engine(GRPC, engine={"env": [{"name": "OTEL_SERVICE_NAME", "value": "shop"}]})
    assert traced(own)["OTEL_SERVICE_NAME"] == "shop"


@pytest.mark.parametrize(
    "endpoint", ["collector:4317", "grpc://c:4317", "http://me:secret@c:4317", "http://c/a b"]
)
def test_what_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="otlpEndpoint"):
        LlamaDeploymentSpec.model_validate(
            {"model": "a/b", "observability": {"otlpEndpoint": endpoint}}
        )
    result = CliRunner().invoke(main.main, ["run", f"--otlp-endpoint={endpoint}"])
    assert result.exit_code == 2
    assert "--otlp-endpoint" in result.output


def test_the_field_makes_a_new_revision_and_leaving_it_empty_does_not() -> None:
    names = []
    for observability in ({}, {"otlpEndpoint": ""}, {"otlpEndpoint": GRPC}):
        raw = deployment(observability=observability)
        spec = LlamaDeploymentSpec.model_validate(raw["spec"])
        names.append(inputs_of(spec, copy_of(ready_weights(raw))))
    assert names[0] == names[1] != names[2]
