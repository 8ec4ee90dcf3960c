"""values.schema.json: the typed values as JSON schema draft 7, which every Helm understands.

Strict all the way down: where a value has names, no other name is taken.
"""

from __future__ import annotations

import json
from typing import Any

from llama_operator.api.schema import Schema, structural
from llama_operator.chart.values import FROM_ABOVE, Values

_DRAFT = "http://json-schema.org/draft-07/schema#"
# What an API server knows and JSON schema does not.
_FOREIGN = ("x-kubernetes-", "format")


def schema() -> Schema:
    """The whole schema."""
    made = strict(structural(Values))
    made["properties"] |= FROM_ABOVE
    return {"$schema": _DRAFT, "title": "Values of the chart llama-operator", **made}


def text() -> str:
    """The file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def strict(node: Any) -> Any:
    """The schema without foreign words, closed wherever it lists names."""
    if isinstance(node, list):
        return [strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    closed = {key: strict(each) for key, each in node.items() if not key.startswith(_FOREIGN)}
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object":
        closed["properties"] = {
            name: strict(each) for name, each in node["properties"].items()
        }  # a value may be named `format`
        closed.setdefault("additionalProperties", False)
    return closed
