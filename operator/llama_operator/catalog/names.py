"""How people call models: aliases, nearest names, and what an alias was taken to mean.

Only llamactl resolves aliases, since what "70b" means moves with every release: a spec that
held it would change its meaning under a running server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from llama_operator.catalog.model import Model

_GENERATION_ORDER = ("code", "1", "2", "3", "3.1", "3.2", "3.3", "4")
_VARIANTS = {"instruct": 3, "chat": 3, "base": 2, "python": 1, "guard": 0}


@lru_cache(maxsize=4096)
def fold(text: str) -> str:
    """The form in which names are compared: lower case, one kind of separator."""
    folded = re.sub(r"[\s_/:]+", "-", text.strip().lower())
    folded = folded.removeprefix("meta-llama-").removeprefix("meta-")
    return re.sub(r"^llama([0-9])", r"llama-\1", folded).removesuffix("-hf")


def preference(model: Model) -> tuple[int, int, int, int]:
    """Sorts the model that a short name most likely means first."""
    order = (
        _GENERATION_ORDER.index(model.generation) if model.generation in _GENERATION_ORDER else -1
    )
    plain = 0 if model.shape.quantized else 1
    # Of the two 16-bit copies of 405B the one for 8 ranks is what Hugging Face holds.
    copies = -(model.meta.mp if model.meta else 0)
    return (-_VARIANTS.get(model.variant, 0), -order, -plain, -copies)


def aliases_of(model: Model) -> Iterator[str]:
    """Every name that means this model and, possibly, others."""
    yield from _hub_names(model)
    if model.meta:
        yield from (name for name in (model.meta.folder, *model.meta.aliases) if name)
    yield from _short_names(model)


def _hub_names(model: Model) -> Iterator[str]:
    yield model.id
    for repo in (model.hf_repo, *model.hf_aliases):
        if repo:
            yield repo
            yield repo.split("/", 1)[1]


def _short_names(model: Model) -> Iterator[str]:
    family, size = _family(model), model.size
    tail = model.id.split(f"{size}-", 1)[1] if size and f"{size}-" in model.id else ""
    for prefix in (family, f"llama-{model.generation}", f"llama{model.generation}", ""):
        stem = f"{prefix}-{size}" if prefix else size
        yield stem
        if tail:
            yield f"{stem}-{tail}"
            yield f"{stem}-{model.variant}"


def _family(model: Model) -> str:
    return model.id.split(f"-{model.size}", 1)[0] if model.size else model.id


def pick(text: str, models: Sequence[Model]) -> Model | None:
    """The model that `text` means best: by its own names first, then by what it may stand for.

    Meta's folder names come last, since one of them (Llama-3.1-405B, there the FP8 copy) is the
    name of another checkpoint on Hugging Face.
    """
    found = fitting(text, models)
    return found[0] if found else None


def fitting(text: str, models: Sequence[Model]) -> list[Model]:
    """All models that `text` means equally well, the one that it means most likely first."""
    wanted = fold(text)
    ways: tuple[Callable[[Model], bool], ...] = (
        lambda each: text in (each.id, each.hf_repo, *each.hf_aliases),
        lambda each: wanted in map(fold, _hub_names(each)),
        lambda each: each.servable and wanted in map(fold, _short_names(each)),
        lambda each: wanted in map(fold, aliases_of(each)),
    )
    for means in ways:
        found = [each for each in models if means(each)]
        if found:
            return sorted(found, key=preference)
    return []


def nearest(text: str, models: Sequence[Model], limit: int = 5) -> list[str]:
    """Ids that resemble `text`, the best first; those that can be served come before others."""
    by_name: dict[str, Model] = {}
    for model in sorted(models, key=lambda each: (not each.servable, preference(each))):
        for name in aliases_of(model):
            by_name.setdefault(fold(name), model)
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistyped name needs it

    found = get_close_matches(fold(text), list(by_name), n=4 * limit, cutoff=0.55)
    ids = [by_name[name].id for name in found]
    return list(dict.fromkeys(ids))[:limit]


def explain(text: str, model: Model) -> str:
    """Why `text` means this model, in one sentence."""
    if text == model.id:
        return f"{text} is a catalogue id"
    if text == model.hf_repo:
        return f"{text} is the Hugging Face repository of {model.id}"
    if text in model.hf_aliases:
        return f"{text} is an older or second Hugging Face name of {model.hf_repo} ({model.id})"
    if fold(text) in map(fold, _hub_names(model)):
        return f"{text} is a name of {model.hf_repo or model.id} ({model.id})"
    if model.meta and text in (model.meta.folder, *model.meta.aliases):
        return f"{text} is Meta's folder of {model.id}"
    kind = "instruct model" if model.chats else f"{model.variant} model"
    return f"{text} means {model.id}, the newest {kind} that the name fits"
