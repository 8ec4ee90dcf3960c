"""`--set path=value`: any field of the spec from the command line, typed by the API's schema.

The schema decides what a word means, so that `engine.version=0.10` stays text and
`replicas=2` becomes a number; a mistyped field is refused with the nearest real one before
anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any

from llamactl.errors import BadValueError
from llamactl.near import nearest, or_list

OPTION = "--set"
_WORD = re.compile(r"((?:\\.|[^.\[\\])+)((?:\[\d+\])*)(?:\.|$)")
_LONGEST_LIST = 256

Schema = Mapping[str, Any]


def apply(spec: dict[str, Any], assignments: tuple[str, ...]) -> None:
    """Set each "path=value" in the spec. Raises BadValueError naming the path."""
    for text in assignments:
        path, sign, value = text.partition("=")
        if not sign or not path.strip():
            raise BadValueError(
                f"{text!r} has no =", field=OPTION, fix="Write it as path=value, such as replicas=2"
            )
        keys = _split(path.strip())
        _store(spec, keys, _typed(value, _schema_of(keys, path), path), path)


def _split(path: str) -> list[str | int]:
    keys: list[str | int] = []
    at = 0
    while at < len(path):
        match = _WORD.match(path, at)
        if match is None:
            raise BadValueError(
                f"{path!r} is not a path",
                field=OPTION,
                fix="Write it as a.b[0].c; a dot inside a key is written \\.",
            )
        keys.append(re.sub(r"\\(.)", r"\1", match[1]))
        keys += [int(index) for index in re.findall(r"\d+", match[2])]
        at = match.end()
    return keys[1:] if keys[:1] == ["spec"] and len(keys) > 1 else keys


@cache
def _root() -> Schema:
    from llama_operator.api.schema import structural
    from llama_operator.api.v1alpha1 import LlamaDeploymentSpec

    return structural(LlamaDeploymentSpec)


def _schema_of(keys: list[str | int], path: str) -> Schema:
    schema = _root()
    walked = "spec"
    for key in keys:
        schema = _child(schema, key, walked, path)
        walked += f"[{key}]" if isinstance(key, int) else f".{key}"
    return schema


def _child(schema: Schema, key: str | int, walked: str, path: str) -> Schema:
    if isinstance(key, int):
        items = schema.get("items")
        if not isinstance(items, Mapping):
            raise BadValueError(f"{walked} is not a list", field=f"{OPTION} {path}")
        return items
    known = schema.get("properties")
    if isinstance(known, Mapping) and known:
        if key not in known:
            raise _unknown(key, known, walked, path)
        found = known[key]
        return found if isinstance(found, Mapping) else {}
    free = schema.get("additionalProperties")
    if isinstance(free, Mapping):
        return free
    if schema.get("type") == "object" or not schema.get("type"):
        return {}
    raise BadValueError(f"{walked} has no fields; it is one value", field=f"{OPTION} {path}")


def _unknown(key: str, known: Mapping[str, Any], walked: str, path: str) -> BadValueError:
    near = nearest(key, known) or sorted(known)
    place = re.sub(r"\[\d+\]", "", walked)
    return BadValueError(
        f"{walked} has no field {key!r}",
        field=f"{OPTION} {path}",
        fix=f"There is {or_list(near)}; `kubectl explain llamadeployment.{place}` lists all",
    )


def _typed(text: str, schema: Schema, path: str) -> Any:
    kind = schema.get("type")
    if kind == "string" or _int_or_string(schema):
        return text
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadValueError(f"{text!r} is not YAML", field=f"{OPTION} {path}") from error
    if value is not None and kind and not _fits(value, str(kind)):
        raise BadValueError(f"{text!r} is not of type {kind}", field=f"{OPTION} {path}")
    return value


def _int_or_string(schema: Schema) -> bool:
    return bool(schema.get("x-kubernetes-int-or-string"))


def _fits(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    types: dict[str, type | tuple[type, ...]] = {
        "integer": int,
        "number": (int, float),
        "array": list,
        "object": dict,
    }
    return isinstance(value, types.get(kind, object)) and kind != "boolean"


def _store(spec: dict[str, Any], keys: list[str | int], value: Any, path: str) -> None:
    place: Any = spec
    for key, after in pairwise(keys):
        place = _step(place, key, [] if isinstance(after, int) else {}, path)
    last = keys[-1]
    if isinstance(last, int):
        _grow(place, last, path)
    place[last] = value


def _step(place: Any, key: str | int, empty: Any, path: str) -> Any:
    if isinstance(key, int):
        _grow(place, key, path)
        if place[key] is None:
            place[key] = empty
        return place[key]
    return place.setdefault(key, empty)


def _grow(place: list[Any], index: int, path: str) -> None:
    if index > len(place) or index >= _LONGEST_LIST:
        raise BadValueError(
            f"index {index} leaves a gap; the list has {len(place)} items", field=f"{OPTION} {path}"
        )
    if index == len(place):
        place.append(None)
