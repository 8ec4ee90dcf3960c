"""Manifests from files and stdin: read, taken apart, and judged one by one.

Every document keeps the place that it came from, since "document 3 of all.yaml" is what a person
looks for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from llamactl import checking, naming
from llamactl.errors import BadValueError
from llamactl.near import or_list
from llamactl.resources import DEPLOYMENTS, WEIGHTS, Resource

KINDS = {each.kind: each for each in (DEPLOYMENTS, WEIGHTS)}


class Document(NamedTuple):
    """One object of ours, and where it stands."""

    place: str
    resource: Resource
    obj: dict[str, Any]


def read(files: Sequence[str]) -> list[Document]:
    """All documents of all files; "-" is stdin. Raises BadValueError naming the place."""
    found = [each for file in files for each in _of_file(file)]
    if not found:
        raise BadValueError(
            f"{' and '.join(files)} has no LlamaDeployment and no LlamaWeights", field="-f"
        )
    seen: dict[tuple[str, str, str], str] = {}
    for each in found:
        meta = each.obj["metadata"]
        key = (each.resource.kind, str(meta.get("namespace") or ""), meta["name"])
        if key in seen:
            raise BadValueError(
                f"{each.resource.kind} {meta['name']} is in {seen[key]} already",
                field=each.place,
                fix="Keep one of them",
            )
        seen[key] = each.place
    return found


def _of_file(file: str) -> Iterator[Document]:
    name = "stdin" if file == "-" else file
    number = 0
    for value in _parsed(_text(file), name):
        for obj in _items(value):
            number += 1
            yield _document(obj, f"{name}, document {number}")


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadValueError(f"{file} is not text", field="-f") from error


def _parsed(text: str, name: str) -> list[Any]:
    import yaml

    try:
        return [each for each in yaml.safe_load_all(text) if each is not None]
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or type(error).__name__
        raise BadValueError(f"this is not YAML: {why}", field=f"{name}{line}") from error


def _items(value: Any) -> list[Any]:
    if isinstance(value, Mapping) and value.get("kind") == "List":
        return list(value.get("items") or [])
    return [value]


def _document(obj: Any, place: str) -> Document:
    if not isinstance(obj, Mapping):
        raise BadValueError("this is no object with kind and metadata", field=place)
    resource = KINDS.get(str(obj.get("kind")))
    if resource is None or obj.get("apiVersion") != resource.api_version:
        raise BadValueError(
            f"this is a {obj.get('kind')} of {obj.get('apiVersion')}",
            field=place,
            fix=f"{or_list(KINDS)} of {DEPLOYMENTS.api_version} can be applied; use kubectl apply "
            "for others",
        )
    meta = obj.get("metadata")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("name"), str):
        raise BadValueError("it has no name", field=f"{place}: metadata.name", fix="Give it one")
    naming.check(meta["name"], f"{place}: metadata.name")
    if not isinstance(obj.get("spec"), Mapping):
        raise BadValueError("it has no spec", field=f"{place}: spec")
    checking.whole(resource.kind, obj["spec"], f"{place}: spec")
    return Document(place, resource, _own(obj))


def _own(obj: Mapping[str, Any]) -> dict[str, Any]:
    """What a user may say of an object: a manifest that was read from a cluster holds more."""
    meta = {
        key: value
        for key, value in obj["metadata"].items()
        if key in ("name", "namespace", "labels", "annotations")
    }
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": meta,
        "spec": obj["spec"],
    }
