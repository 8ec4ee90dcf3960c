"""Examples use every field, and docs/examples.md has a row for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from tests.docs import markdown
from tests.docs.markdown import PROJECT

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec, LlamaWeightsSpec

EXAMPLES = PROJECT / "examples"
PAGE = (PROJECT / "docs" / "examples.md").read_text()
SPECS: dict[str, type[BaseModel]] = {
    "LlamaDeployment": LlamaDeploymentSpec,
    "LlamaWeights": LlamaWeightsSpec,
}
# `llamactl rollout undo` sets it to a revision that there is; a manifest cannot know one.
SET_BY_COMMANDS = ("rollout.undoTo",)
# Both kinds have the same ones, so an example of either shows them.
SHARED = ("source.", "storage.", "retention.")


def inner(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, or a list of; None for a value, or a type of Kubernetes."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (inner(each) for each in get_args(annotation))
    return next((each for each in found if each), None)


def fields(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Every field that holds no model of ours, as it is written."""
    for name, field in model.model_fields.items():
        here, deeper = f"{path}{field.alias or name}", inner(field.annotation)
        yield from fields(deeper, f"{here}.") if deeper else [here]


def used(value: Any, model: type[BaseModel], path: str = "") -> Iterator[str]:
    """The fields of `fields` that a spec sets."""
    for each in value if isinstance(value, list) else [value]:
        for name, field in model.model_fields.items():
            wire = field.alias or name
            if wire in each:
                deeper = inner(field.annotation)
                here = f"{path}{wire}"
                yield from used(each[wire], deeper, f"{here}.") if deeper else [here]


def shown() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {kind: set() for kind in SPECS}
    for path in EXAMPLES.rglob("*.yaml"):
        for raw in yaml.safe_load_all(path.read_text()):
            found[raw["kind"]] |= {*used(raw["spec"], SPECS[raw["kind"]])}
    return found


@pytest.mark.parametrize("kind", SPECS)
def test_every_field_is_in_an_example(kind: str) -> None:
    everywhere = shown()
    there = everywhere[kind] | {
        field for found in everywhere.values() for field in found if field.startswith(SHARED)
    }
    missing = {*fields(SPECS[kind])} - there - {*SET_BY_COMMANDS}
    assert not missing, f"examples/: no example uses {sorted(missing)} of a {kind}"


def test_fields_are_found() -> None:
    found = {*fields(LlamaDeploymentSpec)}
    assert {
        "model",
        "gpu.count",
        "autoscaling.targets.metric",
        "adapters.source.claim.path",
    } < found
    assert {"scheduling.affinity", "engine.resources"} < found, "types of Kubernetes are one field"
    assert {*used({"gpu": {"count": 1}}, LlamaDeploymentSpec)} == {"gpu.count"}


def test_every_example_has_a_row() -> None:
    files = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.yaml")}
    rows = {link.removeprefix("../examples/") for link in markdown.links(PAGE)}
    assert files <= rows, f"docs/examples.md: no row for {sorted(files - rows)}"
