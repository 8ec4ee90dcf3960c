"""From the options of `deploy` to the LlamaDeployment that is sent. Pure.

Only what the user said is written: every other field stays automatic, so that server-side
apply never owns, and never freezes, a default.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llamactl import checking, loras, setpath
from llamactl.resources import DEPLOYMENTS, SECRETS

TOKEN_SECRET = "hf-token"  # noqa: S105 - the name that the operator looks for
TOKEN_KEY = "token"  # noqa: S105 - the entry of it
URL_KEY = "url"  # the default of spec.source.meta.urlSecretRef.key

# option -> path in the spec
FIELDS = {
    "backend": ("backend",),
    "gpus": ("gpu", "count"),
    "gpu": ("gpu", "product"),
    "device_class": ("gpu", "deviceClassName"),
    "engine": ("engine", "type"),
    "device": ("engine", "device"),
    "image": ("engine", "image"),
    "replicas": ("replicas",),
    "max_model_len": ("sizing", "maxModelLen"),
    "runtime_class": ("runtimeClassName",),
    "storage_class": ("storage", "storageClassName"),
}


@dataclass(frozen=True)
class Wanted:
    """What `deploy` was asked for; None and empty mean not given."""

    model: str
    name: str
    namespace: str
    options: Mapping[str, Any]
    token_secret: str = ""
    url_secret: str = ""
    assignments: tuple[str, ...] = ()


def build(wanted: Wanted) -> dict[str, Any]:
    """The object to apply. Raises BadValueError for a field or value that cannot be."""
    spec: dict[str, Any] = {"model": wanted.model}
    for option, path in FIELDS.items():
        value = wanted.options.get(option)
        if value not in (None, ""):
            put(spec, path, value)
    if wanted.token_secret:
        put(spec, ("source", "huggingFace", "tokenSecretRef"), token_reference(wanted.token_secret))
    if wanted.url_secret:
        put(spec, ("source", "meta", "urlSecretRef"), {"name": wanted.url_secret})
    given = loras.parse(wanted.options.get("adapters") or ())
    if given:
        spec |= {"lora": {"enabled": True}, "adapters": given}
    setpath.apply(spec, wanted.assignments)
    checking.values(DEPLOYMENTS.kind, spec)
    return {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.kind,
        "metadata": {"name": wanted.name, "namespace": wanted.namespace},
        "spec": spec,
    }


def token_secret(namespace: str, token: str) -> dict[str, Any]:
    """The Secret that the operator uses for the default hub, for every model of a namespace."""
    return secret(namespace, TOKEN_SECRET, TOKEN_KEY, token)


def url_secret(namespace: str, name: str, url: str, key: str = URL_KEY) -> dict[str, Any]:
    """The Secret with the signed URL of Meta's e-mail."""
    return secret(namespace, name, key, url)


def secret(namespace: str, name: str, key: str, value: str) -> dict[str, Any]:
    """A Secret of one entry; applied, it leaves other entries as they are."""
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode()},
    }


def token_reference(text: str) -> dict[str, str]:
    """The reference of NAME or NAME:KEY."""
    name, _, key = text.partition(":")
    return {"name": name, "key": key or TOKEN_KEY}


def put(spec: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value deep in a spec, making what is missing on the way."""
    place = spec
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value


def verb(there: Mapping[str, Any] | None, changes: Sequence[str]) -> str:
    """What was done to an object, in one word."""
    if there is None:
        return "created"
    return "changed" if changes else "unchanged"


def differences(there: Any, wanted: Any, path: str = "spec") -> list[str]:
    """Fields in which two specs differ, as "spec.gpu.count: 1 -> 8"."""
    if isinstance(there, Mapping) and isinstance(wanted, Mapping):
        keys = sorted({*there, *wanted})
        return [
            line
            for key in keys
            for line in differences(there.get(key), wanted.get(key), f"{path}.{key}")
        ]
    return [] if there == wanted else [f"{path}: {_short(there)} -> {_short(wanted)}"]


def _short(value: Any) -> str:
    if value is None:
        return "not set"
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
