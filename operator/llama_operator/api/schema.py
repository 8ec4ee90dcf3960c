"""From pydantic models to structural OpenAPI v3 schemas, as a CRD wants them.

A CRD takes no $ref, no null type and no title, and refuses a default that its own schema would
not accept. Nothing is invented on the way: limits, patterns, defaults and descriptions come from
the models, so the operator and the API server cannot disagree.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]


def structural(model: type[BaseModel]) -> Schema:
    """The structural schema of a model, references inlined."""
    raw = model.model_json_schema(by_alias=True)
    return _convert(raw, raw.get("$defs", {}))


def _convert(node: Schema, defs: dict[str, Schema]) -> Schema:
    node = _resolve(node, defs)
    for dropped in ("$defs", "title"):
        node.pop(dropped, None)
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if node.get("default") in (None, []):
        node.pop("default", None)
    if "properties" in node:
        node["properties"] = _properties(node, defs)
    for nested in ("items", "additionalProperties"):
        if isinstance(node.get(nested), dict):
            node[nested] = _convert(node[nested], defs)
    return node


def _resolve(node: Schema, defs: dict[str, Schema]) -> Schema:
    """Replaces a reference, or a choice between something and null, by the thing itself.

    What stands beside it (description, default) wins over what the thing says of itself.
    """
    node = dict(node)
    while True:
        if "$ref" in node:
            target = defs[node.pop("$ref").rsplit("/", 1)[1]]
        elif len(choices := _not_null(node)) == 1:
            target = choices[0]
            node.pop("anyOf")
        else:
            return node
        node = {**target, **node}


def _not_null(node: Schema) -> list[Schema]:
    return [each for each in node.get("anyOf", ()) if each.get("type") != "null"]


def _properties(node: Schema, defs: dict[str, Schema]) -> dict[str, Schema]:
    required = node.get("required", ())
    converted = {}
    for name, raw in node["properties"].items():
        converted[name] = _convert(raw, defs)
        # A bare reference that may be left out is a parent whose members have defaults; one
        # whose presence means something is declared `| None` and gets none.
        if "$ref" in raw and name not in required:
            converted[name]["default"] = {}
    return converted
