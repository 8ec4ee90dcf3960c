"""Specs as typed values, each read once: an object is looked at many times between two edits."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec, LlamaWeightsSpec
from llama_operator.reconcile.recent import Remembered

Object = dict[str, Any]
M = TypeVar("M", bound=BaseModel)
# Looks at one object come close together; ten thousand typed specs would take 100 MB.
KEPT = 256


class Specs(Generic[M]):
    """The latest specs of one kind, by the UID of their object."""

    def __init__(self, model: type[M]) -> None:
        self._model = model
        self._kept: Remembered[Object, M] = Remembered(KEPT)

    def of(self, raw: Object) -> M:
        """The spec of an object; raises pydantic.ValidationError where it cannot be read."""
        uid, wire = raw["metadata"].get("uid", ""), raw["spec"]
        return self._kept.of(uid, wire, lambda: self._model.model_validate(wire))


deployments = Specs(LlamaDeploymentSpec)
weights = Specs(LlamaWeightsSpec)
