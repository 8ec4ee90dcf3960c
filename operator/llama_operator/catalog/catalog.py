"""The catalogue: finds models by id, by repository and, for people, by alias.

Loading reads a JSON that `compile` made of models.yaml, since parsing the YAML takes longer
than everything else that `llamactl plan` does together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from llama_operator.api.errors import UnknownModel, UsageError
from llama_operator.catalog import names
from llama_operator.catalog.model import Generation, Meta, Model, read_generation, restore
from llama_operator.catalog.shape import Shape

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Catalog", "Generation", "Meta", "Model", "Shape", "load", "read_packaged"]


class Catalog:
    """Models by name. Iterating gives them in the order of the file.

    `comparisons` are published scores of models outside the family, `sources` what the
    abbreviations in a model's `sources` stand for.
    """

    def __init__(
        self,
        models: Sequence[Model],
        comparisons: Mapping[str, Mapping[str, float]] | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        self.models = tuple(models)
        self.comparisons = dict(comparisons or {})
        self.sources = dict(sources or {})
        self._by_id = {each.id: each for each in self.models}
        self._by_repo: dict[str, Model] = {}
        for each in self.models:
            if each.hf_repo:
                self._by_repo.setdefault(each.hf_repo, each)

    def __iter__(self) -> Iterator[Model]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def get(self, model_id: str) -> Model | None:
        """The model of that catalogue id."""
        return self._by_id.get(model_id)

    def find(self, model: str) -> Model | None:
        """The model of that id or that exact Hugging Face repository: what a spec may hold."""
        return self._by_id.get(model) or self._by_repo.get(model)

    def resolve(self, text: str) -> Model:
        """The model that a person means by `text`.

        Takes ids, Hugging Face names old and new, Meta's folders, and short names ("70b" is the
        newest instruct model of that size). Raises UnknownModel with the nearest ids.
        """
        found = names.pick(text, self.models) if text.strip() else None
        if found is None:
            raise self.unknown(text)
        return found

    def fitting(self, text: str) -> list[str]:
        """Ids of all models that a short name fits; the first is the one that it means."""
        return [each.id for each in names.fitting(text, self.models)] if text.strip() else []

    def explain(self, text: str) -> str:
        """What `text` was taken to mean, in one sentence. Raises UnknownModel as resolve does."""
        return names.explain(text, self.resolve(text))

    def suggest(self, text: str) -> str:
        """The id to write instead of an alias; "" where nothing is meant by it."""
        found = names.pick(text, self.models) if text.strip() else None
        return found.id if found else ""

    def nearest(self, text: str) -> list[str]:
        """Ids that resemble `text`, the best first; the one that an alias means leads."""
        meant = self.suggest(text)
        near = names.nearest(text, self.models)
        return list(dict.fromkeys([meant, *near] if meant else near))

    def unknown(self, text: str) -> UnknownModel:
        """The refusal of a name that is neither an id nor a repository."""
        near = self.nearest(text)
        fix = f"Did you mean {', '.join(near[:3])}?" if near else "`llamactl models` lists them all"
        return UnknownModel(f"{text!r} is not in the catalogue", near, fix=fix)

    def added(self, models: Sequence[Model]) -> Catalog:
        """This catalogue with `models`; one of the same id replaces ours."""
        merged = {each.id: each for each in (*self.models, *models)}
        return Catalog(list(merged.values()), self.comparisons, self.sources)


def read_packaged(name: str) -> Any:
    """The content of a JSON file that lies beside this module, packed or not."""
    # importlib.resources takes 8 ms to import, as long as all the rest of loading.
    loader: Any = __spec__.loader
    return json.loads(loader.get_data(f"{__file__.rpartition('/')[0]}/{name}"))


@cache
def _packaged() -> tuple[Catalog, dict[str, Generation]]:
    data = read_packaged("models.json")
    generations = {key: read_generation(key, raw) for key, raw in data["generations"].items()}
    models = [restore(each, generations) for each in data["models"]]
    return Catalog(models, data["comparisons"], data["sources"]), generations


def load(extra: str | Path | Mapping[str, Any] | None = None) -> Catalog:
    """The packaged catalogue, with the models of `extra` (a file, or its content) added.

    Raises UsageError with the field's path where `extra` does not follow the schema of
    models.yaml.
    """
    catalog, generations = _packaged()
    if extra is None:
        return catalog
    from llama_operator.catalog import schema  # noqa: PLC0415 - only for what a user adds

    raw = extra if isinstance(extra, Mapping) else _read_file(str(extra))
    return catalog.added(schema.read_models(raw, generations))


def _read_file(path: str) -> Any:
    import yaml  # noqa: PLC0415 - only for a user's own file

    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs as much as the catalogue
            return yaml.safe_load(file)
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise UsageError(
            f"cannot be read: {problem}", field=path, fix="Give a YAML or JSON file"
        ) from error
