"""The base of all values, and the types that several of them share."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from llama_operator.api import leaves
from llama_operator.api.fields import NAME_PATTERN

# Unlike a spec, values are refused where they hold a name that is not known: a typo must not pass.
CONFIG: Final = ConfigDict(
    frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid"
)
REGISTRY_PATTERN: Final = r"^([A-Za-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9._/-]*[a-z0-9])?)?$"
REPOSITORY_PATTERN: Final = r"^([A-Za-z0-9.-]+(:[0-9]{1,5})?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*$"
TAG_PATTERN: Final = r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"
DIGEST_PATTERN: Final = r"^(sha256:[0-9a-f]{64})?$"
PROXY_PATTERN: Final = r"^(https?://[^\s]+)?$"
URL_PATTERN: Final = r"^https?://[A-Za-z0-9._~:/?#@!$&()*+,;=%-]+$"
SECONDS_PATTERN: Final = r"^[0-9]+(ms|s|m|h)$"

Object = dict[str, Any]
# By capability, or by will.
Auto = Literal["auto", True, False]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=253)]
Count = Annotated[int, Field(ge=0, le=1000)]
Seconds = Annotated[int, Field(ge=1, le=3600)]
Port = Annotated[int, Field(ge=1, le=65535)]
_TEXTS = leaves.string_map("Labels or annotations.", 64, {"type": "string", "maxLength": 16384})
Texts = Annotated[dict[str, str], WithJsonSchema(_TEXTS)]
# Objects that are passed on as they are: their own program knows them, we do not.
Free = Annotated[Object, WithJsonSchema({"type": "object", "additionalProperties": True})]


class Part(BaseModel):
    """A part of the values."""

    model_config = CONFIG


class Image(Part):
    """An image."""

    repository: str = Field(
        default="llama-operator",
        description="Registry and repository of the operator's image.",
        pattern=REPOSITORY_PATTERN,
    )
    tag: str = Field(
        default="", description="Tag; empty: the chart's appVersion.", pattern=TAG_PATTERN
    )
    digest: str = Field(
        default="",
        description="Digest such as sha256:...; it wins over the tag.",
        pattern=DIGEST_PATTERN,
    )
