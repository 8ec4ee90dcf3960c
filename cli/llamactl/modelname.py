"""What the user calls a model, resolved to what a LlamaDeployment may hold.

"70b" moves with time, so it never reaches the cluster: it becomes a catalogue id here, and the
user is told which. An org/repo that the catalogue does not know goes through as it is, since
any repository of Llama architecture can be served.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llama_operator.api.errors import PlanRefused, UnknownModel
from llamactl.errors import BadValueError
from llamactl.known import models
from llamactl.near import or_list

if TYPE_CHECKING:
    from llama_operator.catalog.catalog import Catalog, Model

_REPO = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


@dataclass(frozen=True)
class Resolved:
    """The text for spec.model, and the catalogue's entry where there is one."""

    model: str
    entry: Model | None

    def said(self, text: str) -> str:
        """ "70b -> llama-3.3-70b-instruct", or nothing where the text was exact."""
        return "" if text == self.model else f"{text} -> {self.model}"


def resolve(text: str) -> Resolved:
    """Raises BadValueError with the nearest names, PlanRefused for what cannot be served."""
    known = models()
    entry = known.find(text)
    if entry is None and _REPO.match(text) and ".." not in text:
        return Resolved(text, None)
    if entry is None:
        entry = _alias(known, text)
    if not entry.servable:
        raise PlanRefused(
            "ModelNotServable", f"{entry.id} cannot be served: {entry.refusal}", field="MODEL"
        )
    return Resolved(entry.id, entry)


def _alias(known: Catalog, text: str) -> Model:
    try:
        return known.resolve(text)
    except UnknownModel as error:
        near = or_list(error.choices[:3])
        raise BadValueError(
            f"no model {text!r}",
            field="MODEL",
            fix=f"Did you mean {near}?" if near else "Name a catalogue id or org/repo",
            next="llamactl models",
        ) from error
