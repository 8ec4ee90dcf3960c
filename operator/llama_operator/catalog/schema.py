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
from llama_operator.catalog.fields import Fields, Object, mapping
from llama_operator.catalog.model import Generation, Meta, Model, family_of, read_generation
from llama_operator.catalog.shape import Shape

_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_OWN_GENERATION: Final = Generation(
    id="own", name="Own", released="", license="", notes="added by the user"
)
_SHAPE_FIELDS: Final = {each.name for each in fields(Shape)}
_ROPE: Final = ("rope_theta", "rope_scaling")
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
    the path of the field, such as "models[2].params", or PlanRefused for a shape that lies.
    """
    data = mapping(raw, "catalogue")
    known = {"own": _OWN_GENERATION, **(generations or {}), **read_generations(data)}
    shapes = mapping(data.get("shapes", {}), "shapes")
    entries = data.get("models")
    if not isinstance(entries, list) or not entries:
        raise UsageError("is missing or empty", field="models", fix="List at least one model")
    models = [
        _model(Fields(each, f"models[{n}]", _KNOWN), shapes, known)
        for n, each in enumerate(entries)
    ]
    _check_unique(models)
    return models


def read_generations(data: Mapping[str, Any]) -> dict[str, Generation]:
    """The generations that a catalogue file describes."""
    known = {*Generation._fields} - {"id"}
    found = mapping(data.get("generations", {}), "generations")
    return {
        key: _generation(key, Fields(raw, f"generations.{key}", known))
        for key, raw in found.items()
    }


def _generation(key: str, entry: Fields) -> Generation:
    told: Object = {
        name: entry.count(name) if name == "training_tokens" else entry.text(name)
        for name in entry.raw
    }
    return read_generation(key, told)


def _model(entry: Fields, shapes: Mapping[str, Any], known: Mapping[str, Generation]) -> Model:
    name = entry.text("id")
    if not _ID.fullmatch(name):
        raise entry.wrong("id", "Use at most 63 of a-z, 0-9, '.', '_' and '-'")
    generation = entry.one_of("generation", known, "own")
    base = entry.one_of("based_on", known, "")
    family = family_of(generation, base, known)
    shape, rope = _shape(entry, shapes)
    extras: Object = {key: entry.text(key) for key in _TEXT if key in entry}
    extras |= {key: entry.number(key) for key in _NUMBERS if key in entry}
    return Model(
        id=name,
        generation=generation,
        variant=entry.text("variant", "instruct"),
        params=entry.number("params"),
        shape=shape,
        weights_bytes=entry.number("weights_bytes"),
        family=family,
        based_on=base,
        meta=_meta(entry),
        scores=entry.amounts("scores"),
        uncertain=entry.texts("uncertain"),
        sources=mapping(entry.raw.get("sources", {}), f"{entry.where}.sources"),
        **rope,
        **_hub(entry),
        **(_inherited(family, entry.raw) | extras),
    )


def _inherited(family: Generation, entry: Object) -> Object:
    found = {name: getattr(family, name) for name in _INHERITED}
    if entry.get("variant") not in _TALKING:
        found |= {"tool_call_parser": "", "chat_template": ""}
    return found


def _shape(entry: Fields, shapes: Mapping[str, Any]) -> tuple[Shape, Object]:
    given, at = entry.raw.get("shape"), f"{entry.where}.shape"
    if isinstance(given, str):
        if given not in shapes:
            raise entry.wrong("shape", "Name one of `shapes`, or write the numbers here")
        given, at = shapes[given], f"shapes.{given}"
    found = Fields(given, at, {*_SHAPE_FIELDS, *_ROPE})
    raw = {key: value for key, value in found.raw.items() if key not in _ROPE and value is not None}
    raw["dtype"] = found.text("dtype", entry.text("dtype", "bfloat16"))
    raw["quantization"] = found.text("quantization", entry.text("quantization", ""))
    raw["tied_embeddings"] = found.flag("tied_embeddings", False)
    architecture = found.text("architecture", "LlamaForCausalLM")
    if not entry.text("refusal", ""):
        check_architecture(architecture, f"{at}.architecture")
    checked({**raw, "architecture": "LlamaForCausalLM"}, at)
    return Shape(**{**raw, "architecture": architecture}), _rope(found)


def _rope(found: Fields) -> Object:
    rope: Object = {}
    if "rope_theta" in found:
        rope["rope_theta"] = found.amount("rope_theta")
    if found.raw.get("rope_scaling") is not None:
        rope["rope_scaling"] = mapping(found.raw["rope_scaling"], f"{found.where}.rope_scaling")
    return rope


def _hub(entry: Fields) -> Object:
    if entry.raw.get("hf") is None:
        return {}
    found = Fields(entry.raw["hf"], f"{entry.where}.hf", {"repo", "aliases", "gated", "shards"})
    aliases = found.texts("aliases")
    for key, repo in (("repo", found.text("repo")), *(("aliases", each) for each in aliases)):
        if not _REPO.fullmatch(repo):
            raise found.wrong(key, "Write it as org/name")
    return {
        "hf_repo": found.text("repo"),
        "hf_aliases": aliases,
        "gated": found.flag("gated", False),
        "shards": found.count("shards"),
    }


def _meta(entry: Fields) -> Meta | None:
    if entry.raw.get("meta") is None:
        return None
    found = Fields(entry.raw["meta"], f"{entry.where}.meta", Meta._fields)
    return Meta(
        folder=found.text("folder", ""),
        mp=found.number("mp"),
        # Checkpoints in another format have none.
        pth_files=found.number("pth_files") if found.raw.get("pth_files") else 0,
        aliases=found.texts("aliases"),
        pth_bytes=found.count("pth_bytes"),
        checklist=found.flag("checklist", True),
    )


def _check_unique(models: Iterable[Model]) -> None:
    seen: set[str] = set()
    for position, model in enumerate(models):
        if model.id in seen:
            raise UsageError(
                f"{model.id!r} is used twice", field=f"models[{position}].id", fix="Rename one"
            )
        seen.add(model.id)
