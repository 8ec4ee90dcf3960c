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
from llamactl.near import and_list, or_list

if TYPE_CHECKING:
    from llama_operator.catalog.catalog import Catalog, Model

SHOWN = 3
_REPO = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


@dataclass(frozen=True)
class Resolved:
    """The text for spec.model, and the catalogue's entry where there is one."""

    model: str
    entry: Model | None
    # Others that the text fits as well.
    others: tuple[str, ...] = ()

    def said(self, text: str) -> str:
        """ "3b -> llama-3.2-3b-instruct (it also fits llama-3.2-3b)"; "" where the text was exact."""
        if text == self.model:
            return ""
        named = list(self.others[:SHOWN])
        if len(self.others) > SHOWN:
            named = [*named[:-1], f"{len(self.others) - SHOWN + 1} more"]
        also = f" (it also fits {and_list(named)})" if named else ""
        return f"{text} -> {self.model}{also}"


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
    return Resolved(
        entry.id, entry, tuple(each for each in known.fitting(text) if each != entry.id)
    )


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
