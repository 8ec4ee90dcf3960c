"""What can be wrong with a spec, as far as it shows without a cluster: fields, types, limits.

The same models make the CRDs, so what is refused here would be refused there; only here the
nearest name of a mistyped field can be offered. The rules of admission that need CEL stay with
the API server (`--dry-run=server`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from llamactl.errors import BadValueError
from llamactl.near import nearest, or_list
from llamactl.resources import DEPLOYMENTS, WEIGHTS

Schema = Mapping[str, Any]

_SOURCES = ("huggingFace", "meta", "claim")


def values(kind: str, spec: Mapping[str, Any], at: str = "spec") -> None:
    """Types and limits. Raises BadValueError naming the first field at fault."""
    from pydantic import ValidationError

    try:
        _model(kind).model_validate(spec)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise BadValueError(
            f"{first['msg'][:1].lower()}{first['msg'][1:]}, not {first['input']!r}",
            field=".".join([at, *map(str, first["loc"])]),
            fix=f"`kubectl explain {kind.lower()}.spec` describes every field",
        ) from error


def whole(kind: str, spec: Mapping[str, Any], at: str = "spec") -> None:
    """Everything that can be judged here. Raises BadValueError naming the field."""
    for field, key, known in unknown(spec, schema(kind), at):
        near = nearest(key, known) or sorted(known)[:8]
        raise BadValueError(
            "there is no such field",
            field=f"{field}.{key}",
            fix=f"There is {or_list(near)}; `kubectl explain {kind.lower()}.spec` describes every field",
        )
    values(kind, spec, at)
    _one_source(spec, at)
    if kind == DEPLOYMENTS.kind:
        _reserved(spec.get("engine") or {}, at)


def unknown(value: Any, known_as: Schema, at: str) -> Iterator[tuple[str, str, list[str]]]:
    """(path, field, fields that there are) for every field that the schema does not have.

    The models take such fields without a word, as an operator must that is older than the CRD.
    """
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from unknown(each, known_as.get("items") or {}, f"{at}[{index}]")
    known = known_as.get("properties")
    if not isinstance(value, Mapping) or not known:
        return
    for key, each in value.items():
        if key in known:
            yield from unknown(each, known[key], f"{at}.{key}")
        else:
            yield at, str(key), list(known)


def _one_source(spec: Mapping[str, Any], at: str) -> None:
    given = [name for name in _SOURCES if name in (spec.get("source") or {})]
    if len(given) > 1:
        raise BadValueError(
            f"has {' and '.join(given)}", field=f"{at}.source", fix="Keep one, remove the others"
        )


def _reserved(engine: Mapping[str, Any], at: str) -> None:
    from llama_operator.api.reserved import reserved_args, reserved_env

    args = reserved_args(engine.get("args") or ())
    names = reserved_env([str(each.get("name")) for each in engine.get("env") or ()])
    for field, found in (("args", args), ("env", names)):
        if found:
            raise BadValueError(
                f"{', '.join(found)} is set by the operator or opens the server",
                field=f"{at}.engine.{field}",
                fix="Remove it; docs/reference/api.md names the field to use instead",
            )


def _model(kind: str) -> Any:
    from llama_operator.api import v1alpha1

    models = {
        DEPLOYMENTS.kind: v1alpha1.LlamaDeploymentSpec,
        WEIGHTS.kind: v1alpha1.LlamaWeightsSpec,
    }
    return models[kind]


@cache
def schema(kind: str) -> Schema:
    """The schema of a kind's spec, as the CRD has it."""
    from llama_operator.api.schema import structural

    return structural(_model(kind))
