"""`--set path=value`: any field of the spec from the command line, typed by the API's schema.

The schema decides what a word means, so that `engine.version=0.10` stays text and
`replicas=2` becomes a number; a mistyped field is refused with the nearest real one before
anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from llamactl.checking import schema as schema_of_kind
from llamactl.errors import BadValueError
from llamactl.near import nearest, or_list
from llamactl.resources import DEPLOYMENTS

OPTION = "--set"
_WORD = re.compile(r"((?:\\.|[^.\[\\])+)((?:\[\d+\])*)(?:\.|$)")
_LONGEST_LIST = 256

Schema = Mapping[str, Any]


def apply(
    spec: dict[str, Any],
    assignments: Sequence[str],
    option: str = OPTION,
    kind: str = DEPLOYMENTS.kind,
) -> None:
    """Set each "path=value" in the spec. Raises BadValueError naming the option and the path."""
    for text in assignments:
        path, sign, value = text.partition("=")
        if not sign or not path.strip():
            raise BadValueError(
                f"{text!r} has no =", field=option, fix="Write it as path=value, such as replicas=2"
            )
        keys = _split(path.strip(), option)
        where = f"{option} {path}"
        _store(spec, keys, _typed(value, _schema_of(keys, where, kind), where), where)


def remove(spec: dict[str, Any], path: str, option: str = OPTION) -> None:
    """Take a field out of the spec, which makes it automatic again; no error where it is not set."""
    keys = _split(path, option)
    _schema_of(keys, f"{option} {path}", DEPLOYMENTS.kind)
    place: Any = spec
    for key in keys[:-1]:
        place = place.get(key) if isinstance(place, dict) else None
    if isinstance(keys[-1], int):
        raise BadValueError(
            "an item of a list cannot be taken out",
            field=f"{option} {path}",
            fix="Set the whole list, such as engine.args=[--seed=1]",
        )
    if isinstance(place, dict):
        place.pop(keys[-1], None)


def paths() -> list[str]:
    """Every field that can be set, as a.b.c; lists and maps are not entered."""
    return list(_walk(schema_of_kind(DEPLOYMENTS.kind), ""))


def _walk(schema: Schema, at: str) -> Iterator[str]:
    for name, child in (schema.get("properties") or {}).items():
        if child.get("properties"):
            yield from _walk(child, f"{at}{name}.")
        else:
            yield f"{at}{name}"


def _split(path: str, option: str) -> list[str | int]:
    keys: list[str | int] = []
    at = 0
    while at < len(path):
        match = _WORD.match(path, at)
        if match is None:
            raise BadValueError(
                f"{path!r} is not a path",
                field=option,
                fix="Write it as a.b[0].c; a dot inside a key is written \\.",
            )
        keys.append(re.sub(r"\\(.)", r"\1", match[1]))
        keys += [int(index) for index in re.findall(r"\d+", match[2])]
        at = match.end()
    return keys[1:] if keys[:1] == ["spec"] and len(keys) > 1 else keys


def _schema_of(keys: list[str | int], where: str, kind: str) -> Schema:
    schema = schema_of_kind(kind)
    walked = "spec"
    for key in keys:
        schema = _child(schema, key, walked, where)
        walked += f"[{key}]" if isinstance(key, int) else f".{key}"
    return schema


def _child(schema: Schema, key: str | int, walked: str, where: str) -> Schema:
    if isinstance(key, int):
        items = schema.get("items")
        if not isinstance(items, Mapping):
            raise BadValueError(f"{walked} is not a list", field=where)
        return items
    known = schema.get("properties")
    if isinstance(known, Mapping) and known:
        if key not in known:
            raise _unknown(key, known, walked, where)
        found = known[key]
        return found if isinstance(found, Mapping) else {}
    free = schema.get("additionalProperties")
    if isinstance(free, Mapping):
        return free
    if schema.get("type") == "object" or not schema.get("type"):
        return {}
    raise BadValueError(f"{walked} has no fields; it is one value", field=where)


def _unknown(key: str, known: Mapping[str, Any], walked: str, where: str) -> BadValueError:
    near = nearest(key, known) or sorted(known)
    place = re.sub(r"\[\d+\]", "", walked)
    return BadValueError(
        f"{walked} has no field {key!r}",
        field=where,
        fix=f"There is {or_list(near)}; `kubectl explain llamadeployment.{place}` lists all",
    )


def _typed(text: str, schema: Schema, where: str) -> Any:
    kind = schema.get("type")
    if kind == "string" or _int_or_string(schema):
        return text
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadValueError(f"{text!r} is not YAML", field=where) from error
    if value is not None and kind and not _fits(value, str(kind)):
        raise BadValueError(f"{text!r} is not of type {kind}", field=where)
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


def _store(spec: dict[str, Any], keys: list[str | int], value: Any, where: str) -> None:
    place: Any = spec
    for key, after in pairwise(keys):
        place = _step(place, key, [] if isinstance(after, int) else {}, where)
    last = keys[-1]
    if isinstance(last, int):
        _grow(place, last, where)
    place[last] = value


def _step(place: Any, key: str | int, empty: Any, where: str) -> Any:
    if isinstance(key, int):
        _grow(place, key, where)
        if place[key] is None:
            place[key] = empty
        return place[key]
    return place.setdefault(key, empty)


def _grow(place: list[Any], index: int, where: str) -> None:
    if index > len(place) or index >= _LONGEST_LIST:
        raise BadValueError(
            f"index {index} leaves a gap; the list has {len(place)} items", field=where
        )
    if index == len(place):
        place.append(None)
