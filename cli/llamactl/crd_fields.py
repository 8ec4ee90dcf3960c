"""The fields of a CRD in the cluster against those that this command knows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]


def differences(there: Schema, known: Schema, version: str) -> tuple[list[str], list[str]]:
    """(fields that the cluster lacks, fields that only the cluster has), outermost only."""
    theirs, ours = (set(_paths(_schema(crd, version), "")) for crd in (there, known))
    return _outermost(ours - theirs), _outermost(theirs - ours)


def served(crd: Schema, version: str) -> bool:
    """Whether objects of that version can be read and written."""
    versions = (crd.get("spec") or {}).get("versions") or []
    return any(each.get("name") == version and each.get("served") for each in versions)


def _schema(crd: Schema, version: str) -> Schema:
    for each in (crd.get("spec") or {}).get("versions") or []:
        if each.get("name") == version:
            return (each.get("schema") or {}).get("openAPIV3Schema") or {}
    return {}


def _paths(schema: Schema, at: str) -> Iterator[str]:
    for name, inner in (schema.get("properties") or {}).items():
        path = f"{at}.{name}" if at else name
        yield path
        yield from _paths(inner, path)
    for key in ("items", "additionalProperties"):
        inner = schema.get(key)
        if isinstance(inner, Mapping):
            yield from _paths(inner, f"{at}[]")


def _outermost(paths: set[str]) -> list[str]:
    """A field that is missing takes its own fields with it."""
    return sorted(p for p in paths if p.rpartition(".")[0].removesuffix("[]") not in paths)
