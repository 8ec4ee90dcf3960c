"""The chart's policy knows each field of the API by which an author makes the operator use something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from llama_operator.api import crd
from tests.chart.helm import of, rendered

Object = dict[str, Any]
LIMITS = (
    "images",
    "endpoints",
    "collectors",
    "claims",
    "secrets",
    "gateways",
    "hosts",
    "deviceClasses",
)
# Names that are used with the operator's rights, or are told what a Secret holds, or lead in from
# outside.
USED = re.compile(
    r"([sS]ecretName|SecretRef\.name|secretKeyRef\.name|[sS]ecrets\[\]\.name|claim\.name|claimName"
    r"|Endpoint|\.endpoint|\.image|parentRefs\[\]\.name|hostnames\[\]|ingress\.host"
    r"|deviceClassName)$"
)


def texts(schema: Object, path: str) -> Iterator[str]:
    """Paths of all texts."""
    for name, each in schema.get("properties", {}).items():
        yield from texts(each, f"{path}.{name}")
    if "items" in schema:
        yield from texts(schema["items"], f"{path}[]")
    if schema.get("type") == "string":
        yield path


@pytest.mark.parametrize(
    "made", crd.all_crds(), ids=lambda made: str(made["spec"]["names"]["kind"])
)
def test_every_field_that_names_something_to_use_can_be_limited(made: Object) -> None:
    everything = {"enabled": True, **{key: [] for key in LIMITS}}
    name = f"llama-operator-{made['spec']['names']['plural']}"
    policy = of("ValidatingAdmissionPolicy", rendered({"admissionPolicy": everything}), name)
    limited = {
        each["messageExpression"].split(": ")[0].strip("'")
        for each in policy["spec"]["validations"]
    }
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    named = {path for path in texts(schema, "spec") if USED.search(path)}
    assert len(named) >= 5
    assert limited == named
