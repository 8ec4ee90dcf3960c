"""The base of all models, and the field types that several of them share.

`extra="ignore"` because an operator may read an object of a newer CRD; empty strings read as
"left out" because templates write `image: ""`, and both must mean auto.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from llama_operator.api import leaves, placement

DURATION_PATTERN: Final = r"^([0-9]{1,6}(\.[0-9]{1,3})?(ms|s|m|h|d))+$"
ENDPOINT_PATTERN: Final = (
    r"^(https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?)?$"
)
NAME_PATTERN: Final = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"
RESOURCE_PATTERN: Final = (
    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
)
INT64: Final[JsonDict] = {"format": "int64"}
INT32: Final[JsonDict] = {"format": "int32"}
DATE_TIME: Final[JsonDict] = {"format": "date-time"}


class Model(BaseModel):
    """A part of a spec or a status: immutable, camelCase outside, snake_case inside."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore"
    )

    @model_validator(mode="before")
    @classmethod
    def _left_out(cls, data: Any) -> Any:
        """Reads an empty string or null of an optional field as if it were not there."""
        if not isinstance(data, dict):
            return data
        needed = _needed(cls)
        return {
            key: value for key, value in data.items() if key in needed or value not in ("", None)
        }


@cache
def _needed(model: type[BaseModel]) -> frozenset[str | None]:
    fields = model.model_fields.values()
    return frozenset(field.alias for field in fields if field.is_required())


M = TypeVar("M", bound=BaseModel)


def always(model: type[M]) -> Callable[[], M]:
    """The one value of a part that is left out: it never changes, and is costly to read anew."""
    return cache(model)


def listed(kind: str, *keys: str) -> JsonDict:
    """Tells server-side apply how a list merges: `atomic`, `set`, or `map` by its keys."""
    marker: JsonDict = {"x-kubernetes-list-type": kind}
    return {**marker, "x-kubernetes-list-map-keys": list(keys)} if keys else marker


def _text_of(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _unset_zero(value: Any) -> Any:
    return None if value == "0" else value


_QUANTITY = {
    "x-kubernetes-int-or-string": True,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "maxLength": 32,
    "minimum": 0,
    "pattern": leaves.QUANTITY_PATTERN,
}
# An optional quantity, kept as text for quantity.parse; 0 means auto.
OptQuantity = Annotated[
    Annotated[str, Field(pattern=leaves.QUANTITY_PATTERN, max_length=32)] | None,
    BeforeValidator(_unset_zero),
    BeforeValidator(_text_of),
    WithJsonSchema(_QUANTITY),
]
IntOrPercent = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 4,
            "minimum": 0,
            "pattern": "^(100|[0-9]{1,2})%$",
        }
    ),
]
Object = dict[str, Any]
Toleration = Annotated[Object, WithJsonSchema(leaves.TOLERATION)]
PullSecret = Annotated[Object, WithJsonSchema(leaves.PULL_SECRET)]
EnvVar = Annotated[Object, WithJsonSchema(leaves.ENV)]
Resources = Annotated[Object, WithJsonSchema(leaves.RESOURCES)]
Affinity = Annotated[Object, WithJsonSchema(placement.AFFINITY)]
TopologySpread = Annotated[Object, WithJsonSchema(placement.TOPOLOGY_SPREAD)]
NetworkPeer = Annotated[Object, WithJsonSchema(placement.NETWORK_PEER)]
NodeSelector = Annotated[
    dict[str, str],
    WithJsonSchema(leaves.string_map("Labels of the nodes to run on.", 32, leaves.LABEL_VALUE)),
]
Labels = Annotated[
    dict[str, str], WithJsonSchema(leaves.string_map("Labels.", 64, leaves.LABEL_VALUE))
]
Annotations = Annotated[
    dict[str, str], WithJsonSchema(leaves.string_map("Annotations.", 64, leaves.ANNOTATION_VALUE))
]
