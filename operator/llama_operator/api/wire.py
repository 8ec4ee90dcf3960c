"""From typed values back to what goes over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def as_dict(value: BaseModel | Mapping[str, Any] | None) -> dict[str, Any]:
    """The camelCase dict of a typed or raw value, without what has its default."""
    if value is None:
        return {}
    if isinstance(value, BaseModel):
        return value.model_dump(
            by_alias=True, exclude_none=True, exclude_defaults=True, mode="json"
        )
    return dict(value)
