"""Turns catalogue data, ours or a user's, into models, and names the field of every mistake.

Our own YAML and a file that a user adds go through the same checks: a schema that only the
author's file satisfies is found out when the first user writes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final

from llama_operator.api.errors import UsageError
from llama_operator.catalog.config import check_architecture, checked
from llama_operator.catalog.model import Generation, Meta, Model, family_of, read_generation
from llama_operator.catalog.shape import Shape

Object = dict[str, Any]
_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_OWN_GENERATION: Final = Generation(
    id="own", name="Own", released="", license="", notes="added by the user"
)
_SHAPE_FIELDS: Final = {each.name for each in fields(Shape)}
_TEXT: Final = (
    "modality", "refusal", "prompt", "license", "territory", "tool_call_parser", "chat_template"
)  # fmt: skip
_NUMBERS: Final = ("active_params", "largest_tensor_bytes", "training_tokens", "gpu_hours")
_INHERITED: Final = (
    "license", "territory", "training_tokens", "tool_call_parser", "chat_template"
)  # fmt: skip
_TALKING: Final = (None, "instruct", "chat")
_KNOWN: Final = {
    "id", "generation", "variant", "shape", "params", "dtype", "quantization", "weights_bytes",
    "hf", "meta", "scores", "uncertain", "sources", "based_on", *_TEXT, *_NUMBERS,
}  # fmt: skip


def read_models(raw: Any, generations: Mapping[str, Generation] | None = None) -> list[Model]:
    """The models of a catalogue file.

    `generations` are those that the file may refer to besides its own. Raises UsageError with
    the path of the field, such as "models[2].params".
    """
    data = _mapping(raw, "catalogue")
    known = {"own": _OWN_GENERATION, **(generations or {}), **read_generations(data)}
    shapes = _mapping(data.get("shapes", {}), "shapes")
    entries = data.get("models")
    if not isinstance(entries, list) or not entries:
        raise UsageError("is missing or empty", field="models", fix="List at least one model")
    models = [_model(each, f"models[{n}]", shapes, known) for n, each in enumerate(entries)]
    _check_unique(models)
    return models


def read_generations(data: Mapping[str, Any]) -> dict[str, Generation]:
    """The generations that a catalogue file describes."""
    found = _mapping(data.get("generations", {}), "generations")
    names = {*Generation._fields} - {"id"}
    result = {}
    for key, raw in found.items():
        entry = _mapping(raw, f"generations.{key}")
        _check_keys(entry, names, f"generations.{key}")
        result[key] = read_generation(key, entry)
    return result


def _model(
    raw: Any, where: str, shapes: Mapping[str, Any], known: Mapping[str, Generation]
) -> Model:
    entry = _mapping(raw, where)
    _check_keys(entry, _KNOWN, where)
    name = _text(entry, "id", where)
    if not _ID.fullmatch(name):
        raise _wrong(where, "id", name, "Use at most 63 of a-z, 0-9, '.', '_' and '-'")
    generation, base = entry.get("generation", "own"), entry.get("based_on", "")
    for key, value in (("generation", generation), ("based_on", base)):
        if value not in known and (value or key == "generation"):
            raise _wrong(where, key, value, f"One of {', '.join(known)}")
    family = family_of(generation, base, known)
    shape, rope = _shape(entry, where, shapes)
    extras: Object = {key: _text(entry, key, where) for key in _TEXT if key in entry}
    extras |= {key: _number(entry, key, where) for key in _NUMBERS if key in entry}
    return Model(
        id=name,
        generation=generation,
        variant=_text(entry, "variant", where) if "variant" in entry else "instruct",
        params=_number(entry, "params", where),
        shape=shape,
        weights_bytes=_number(entry, "weights_bytes", where),
        family=family,
        based_on=base,
        meta=_meta(entry.get("meta"), f"{where}.meta"),
        scores=_mapping(entry.get("scores", {}), f"{where}.scores"),
        uncertain=tuple(entry.get("uncertain", ())),
        sources=_mapping(entry.get("sources", {}), f"{where}.sources"),
        **rope,
        **_hub(entry.get("hf"), f"{where}.hf"),
        **(_inherited(family, entry) | extras),
    )


def _inherited(family: Generation, entry: Object) -> Object:
    found = {name: getattr(family, name) for name in _INHERITED}
    if entry.get("variant") not in _TALKING:
        found |= {"tool_call_parser": "", "chat_template": ""}
    return found


def _shape(entry: Object, where: str, shapes: Mapping[str, Any]) -> tuple[Shape, Object]:
    given = entry.get("shape")
    at = f"{where}.shape"
    if isinstance(given, str):
        if given not in shapes:
            raise _wrong(where, "shape", given, "Name one of `shapes`, or write the numbers here")
        given, at = shapes[given], f"shapes.{given}"
    raw = dict(_mapping(given, at))
    rope: Object = {key: raw.pop(key) for key in ("rope_theta", "rope_scaling") if key in raw}
    _check_keys(raw, _SHAPE_FIELDS, at)
    raw.setdefault("dtype", entry.get("dtype", "bfloat16"))
    raw.setdefault("quantization", entry.get("quantization", ""))
    architecture = raw.get("architecture", "LlamaForCausalLM")
    if not entry.get("refusal"):
        check_architecture(architecture, f"{at}.architecture")
    checked({**raw, "architecture": "LlamaForCausalLM"}, at)
    raw.setdefault("tied_embeddings", False)
    return Shape(**{**raw, "architecture": architecture}), rope


def _hub(raw: Any, where: str) -> Object:
    if raw is None:
        return {}
    entry = _mapping(raw, where)
    _check_keys(entry, {"repo", "aliases", "gated", "shards"}, where)
    repos = [_text(entry, "repo", where), *entry.get("aliases", ())]
    for repo in repos:
        if not isinstance(repo, str) or not _REPO.fullmatch(repo):
            raise _wrong(where, "repo", repo, "Write it as org/name")
    return {
        "hf_repo": repos[0],
        "hf_aliases": tuple(repos[1:]),
        "gated": bool(entry.get("gated", False)),
        "shards": entry.get("shards"),
    }


def _meta(raw: Any, where: str) -> Meta | None:
    if raw is None:
        return None
    entry = _mapping(raw, where)
    _check_keys(entry, Meta._fields, where)
    return Meta(
        folder=str(entry.get("folder", "")),
        mp=_number(entry, "mp", where),
        pth_files=int(entry.get("pth_files", 0)),
        aliases=tuple(entry.get("aliases", ())),
        pth_bytes=entry.get("pth_bytes"),
        checklist=bool(entry.get("checklist", True)),
    )


def _check_unique(models: Iterable[Model]) -> None:
    seen: set[str] = set()
    for position, model in enumerate(models):
        if model.id in seen:
            raise _wrong(f"models[{position}]", "id", model.id, "It is used twice; rename one")
        seen.add(model.id)


def _mapping(raw: Any, where: str) -> Object:
    if not isinstance(raw, Mapping):
        raise UsageError(
            f"is {type(raw).__name__}, not a mapping", field=where, fix="Write `key: value` pairs"
        )
    return dict(raw)


def _check_keys(entry: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for key in entry:
        if key not in known:
            raise UsageError(
                "is not a field of the catalogue",
                field=f"{where}.{key}",
                fix=f"Known are {', '.join(sorted(known))}",
            )


def _text(entry: Mapping[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or (not value and key == "id"):
        raise _wrong(where, key, value, "Write a text")
    return value


def _number(entry: Mapping[str, Any], key: str, where: str) -> int:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 53:
        raise _wrong(where, key, value, "Write a positive whole number")
    return value


def _wrong(where: str, key: str, value: Any, fix: str) -> UsageError:
    return UsageError(f"{value!r} is not valid", field=f"{where}.{key}", fix=fix)
