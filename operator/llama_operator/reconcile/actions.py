"""What a decision may ask for. Actions are data, so that a decision can be tested by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
# A refusal (quota, admission, a stranger's object) may be lifted without any event that we see.
REFUSED_RETRY_SECONDS = 30.0
# What a namesake left behind goes as soon as the garbage collector comes by.
LEFTOVER_RETRY_SECONDS = 2.0


@dataclass(frozen=True)
class Apply:
    """Server-side apply of one child; refused when a stranger has the name."""

    obj: Object
    # In the cache and ours: nobody else can have the name.
    known: bool = False
    # Then its UID and version: a namesake made since is not written to, nor is anything that was
    # changed since by an operator that leads by now.
    uid: str = field(default="", compare=False)
    version: str = field(default="", compare=False)


@dataclass(frozen=True)
class CreateKey:
    """Make the Secret with a random API key, unless it is there."""

    name: str


@dataclass(frozen=True)
class CreateWeights:
    """Make the LlamaWeights that a deployment asks for; an existing one is left as it is."""

    obj: Object


@dataclass(frozen=True)
class Delete:
    """Delete exactly this object: a namesake made later has another UID."""

    kind: str
    namespace: str
    name: str
    uid: str
    # Then only in this version, and killed after so many seconds instead of the pod's own.
    version: str = field(default="", compare=False)
    grace_seconds: int | None = None


@dataclass(frozen=True)
class Label:
    """Give a pod that runs these labels, None to take one away; `keys` are all of the user's."""

    namespace: str
    name: str
    uid: str
    labels: Mapping[str, str | None]
    keys: str


@dataclass(frozen=True)
class SetFinalizer:
    """Put our finalizer on a LlamaWeights, or take it off."""

    namespace: str
    name: str
    uid: str
    present: bool


@dataclass(frozen=True)
class ClearProgress:
    """Remove the progress that the fetch Job wrote: the copy is complete."""

    namespace: str
    name: str


Action = Apply | CreateKey | CreateWeights | Delete | Label | SetFinalizer | ClearProgress


@dataclass(frozen=True)
class Failure:
    """An action that the API server refused, in words for a condition."""

    reason: str
    message: str
    retry_seconds: float = REFUSED_RETRY_SECONDS
