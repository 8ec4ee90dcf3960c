"""A model of the catalogue as one line of JSON: the operator hands it to its Jobs.

A Job knows the packaged catalogue only, and perhaps another version of it; what the operator has
decided by must be what the Job goes by. What only people read is left out.
"""

from __future__ import annotations

import json
from typing import Any

from llama_operator.api.errors import UsageError
from llama_operator.catalog.model import Generation, Meta, Model
from llama_operator.catalog.shape import Shape

_PLAIN = ("id", "generation", "variant", "params", "weights_bytes", "hf_repo", "refusal")


def dumps(model: Model) -> str:
    """The line; the same for the same model."""
    data: dict[str, Any] = {name: getattr(model, name) for name in _PLAIN}
    data["shape"] = vars(model.shape)
    data["meta"] = model.meta._asdict() if model.meta else None
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def loads(text: str) -> Model:
    """The model of a line. Raises UsageError for one that `dumps` did not write."""
    try:
        data = json.loads(text)
        meta = data.pop("meta")
        if meta is not None:
            meta = Meta(**{**meta, "aliases": tuple(meta["aliases"])})
        family = Generation(data["generation"], data["generation"], "", "")
        shape = Shape(**data.pop("shape"))
        return Model(**data, shape=shape, meta=meta, family=family)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"is no entry of the catalogue ({type(error).__name__})", field="--entry"
        ) from error
