"""The generated schema is structural, bounded, explained, and agrees with the models."""

from collections.abc import Iterator
from typing import Any

import pytest

from llama_operator.api import crd, rules
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec, LlamaWeightsSpec

CRDS = {each["spec"]["names"]["kind"]: each for each in crd.all_crds()}


def document(kind: str) -> dict[str, Any]:
    root: dict[str, Any] = CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for step in ("items", "additionalProperties"):
        if isinstance(schema.get(step), dict):
            yield from nodes(schema[step], f"{path}.{step}")


EVERY = [
    (kind + path, node)
    for kind in CRDS
    for part in ("spec", "status")
    for path, node in nodes(document(kind)["properties"][part], f".{part}")
]
FOREIGN_KEYWORDS = {"$ref", "$defs", "title", "const", "prefixItems", "allOf", "oneOf", "not"}


def test_there_are_fields_to_check() -> None:
    assert len(EVERY) > 300


def unbounded(node: dict[str, Any]) -> bool:
    if node.get("x-kubernetes-int-or-string"):
        return "maxLength" not in node
    bound = {
        "string": "maxLength" in node or "enum" in node,
        "array": "maxItems" in node and "x-kubernetes-list-type" in node,
        "object": "additionalProperties" not in node or "maxProperties" in node,
        "integer": True,
        "number": True,
        "boolean": True,
    }
    return not bound.get(node.get("type", ""), False)


def test_nothing_but_structural_keywords_is_left() -> None:
    for path, node in EVERY:
        assert not FOREIGN_KEYWORDS & node.keys(), path
        if "anyOf" in node:
            assert node["x-kubernetes-int-or-string"] is True, path


def test_every_node_has_a_type_and_a_bound() -> None:
    assert [path for path, node in EVERY if unbounded(node)] == []


def test_every_field_is_explained_in_sentences() -> None:
    for path, node in EVERY:
        for name, child in node.get("properties", {}).items():
            text = child.get("description", "")
            assert len(text) > 8, f"{path}.{name}"
            assert text.endswith("."), f"{path}.{name}: {text}"


def test_map_lists_name_keys_that_their_items_require() -> None:
    maps = [node for _, node in EVERY if node.get("x-kubernetes-list-type") == "map"]
    assert maps
    for node in maps:
        assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"])


def defaulted(schema: dict[str, Any], value: Any) -> Any:
    """What the API server stores for a value: defaults filled in from the outside in."""
    if schema.get("type") != "object" or "properties" not in schema:
        return value
    filled = dict(value)
    for name, child in schema["properties"].items():
        if name not in filled and "default" in child:
            filled[name] = child["default"]
        if name in filled:
            filled[name] = defaulted(child, filled[name])
    return filled


PRESENCE = {
    "source": {
        "huggingFace": {"tokenSecretRef": {"name": "t"}},
        "meta": {"urlSecretRef": {"name": "u"}},
    },
    "storage": {},
    "retention": {},
}
DEFAULT_CASES = [
    ("LlamaDeployment", LlamaDeploymentSpec, {"model": "m"}),
    (
        "LlamaDeployment",
        LlamaDeploymentSpec,
        {"model": "m", "weightsRef": {"name": "w"}, **PRESENCE},
    ),
    ("LlamaWeights", LlamaWeightsSpec, {"model": "m"}),
    ("LlamaWeights", LlamaWeightsSpec, {"model": "m", **PRESENCE}),
]


@pytest.mark.parametrize(("kind", "model", "given"), DEFAULT_CASES)
def test_server_and_operator_fill_in_the_same(kind: str, model: Any, given: dict[str, Any]) -> None:
    stored = defaulted(document(kind)["properties"]["spec"], given)
    assert model.model_validate(stored) == model.model_validate(given)
    typed = model.model_validate(given).model_dump(by_alias=True, mode="json", exclude_none=True)
    assert without_empty(stored) == without_empty(typed)


def without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    cleaned = {key: without_empty(each) for key, each in value.items()}
    return {key: each for key, each in cleaned.items() if each not in ({}, [])}


def test_parents_with_defaults_are_filled_in_and_those_with_meaning_are_not() -> None:
    stored = defaulted(document("LlamaDeployment")["properties"]["spec"], {"model": "m"})
    assert not {"source", "storage", "retention", "weightsRef"} & stored.keys()
    assert stored["endpoint"] == {
        "port": 8000,
        "routing": "None",
        "networkPolicy": {"enabled": True},
    }
    assert stored["gpu"] == stored["scheduling"] == {}


def test_what_a_deployment_made_goes_with_it_by_default() -> None:
    for kind, policy in (("LlamaDeployment", "Delete"), ("LlamaWeights", "Retain")):
        spec = document(kind)["properties"]["spec"]
        assert spec["properties"]["retention"]["properties"]["policy"]["default"] == policy


def test_every_rule_is_in_its_schema_once() -> None:
    for kind, table in (("LlamaDeployment", rules.DEPLOYMENT), ("LlamaWeights", rules.WEIGHTS)):
        found = [
            entry["rule"]
            for _, node in nodes(document(kind), "")
            for entry in node.get("x-kubernetes-validations", ())
        ]
        assert sorted(found) == sorted(each.rule for each in table)
