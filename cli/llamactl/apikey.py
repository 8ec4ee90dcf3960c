"""The API key of an endpoint: in which Secret it is, what it is, and another one in its place.

vLLM gets the entry `default` as a variable when its container starts, so a server goes on with
the key that it started with; `rotate` says which servers those are.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from llama_operator.api import labels
from llamactl import changing, output, view
from llamactl.errors import CliError
from llamactl.kube import Kube
from llamactl.resources import DEPLOYMENTS, PODS, SECRETS

ENTRY = "default"
RESTART_FIELD = "podMetadata.annotations.key-rotated-at"


class Found(NamedTuple):
    """A key, and the entry of the Secret that holds it."""

    secret: str
    entry: str
    key: str


def is_asked_for(obj: Mapping[str, Any]) -> bool:
    """Does the deployment's endpoint ask for a key?"""
    return bool(view.path(obj, "spec", "auth", "mode") != "None")


def secret_name(obj: Mapping[str, Any]) -> str:
    """The Secret with the key of a deployment: what its status says, else what its spec means."""
    said = view.path(obj, "status", "endpoint", "secretName")
    return str(
        said or view.path(obj, "spec", "auth", "secretName") or f"{view.name_of(obj)}-api-key"
    )


def read(kube: Kube, obj: Mapping[str, Any]) -> Found:
    """The key that requests are sent with. Raises CliError for an endpoint or a Secret without."""
    _check(kube, obj)
    name = secret_name(obj)
    entries = kube.get(SECRETS, name).get("data") or {}
    if not entries:
        raise CliError(
            f"Secret {name} holds no key",
            fix=f"Its entry {ENTRY} is the key; make one",
            next=kube.settings.llamactl("key", "rotate", view.name_of(obj)),
        )
    entry = ENTRY if ENTRY in entries else sorted(entries)[0]
    return Found(name, entry, base64.b64decode(entries[entry]).decode().strip())


def rotate(kube: Kube, obj: Mapping[str, Any], *, restart: bool, dry: bool) -> str:
    """Put a new key into the Secret and say what follows; returns the Secret's name."""
    _check(kube, obj)
    name = secret_name(obj)
    key = f"sk-{secrets.token_urlsafe(32)}"
    data = {ENTRY: base64.b64encode(key.encode()).decode()}
    kube.patch(SECRETS, name, {"data": data}, dry=dry)
    if not dry:
        for each in _users(kube, name, obj):
            _follow(kube, each, restart=restart)
    return name


def _check(kube: Kube, obj: Mapping[str, Any]) -> None:
    if not is_asked_for(obj):
        raise CliError(
            f"{view.name_of(obj)} asks for no API key (spec.auth.mode is None)",
            fix="With auth.mode=APIKey it does; that restarts its servers",
            next=kube.settings.llamactl("set", view.name_of(obj), "auth.mode=APIKey"),
        )


def _users(kube: Kube, secret: str, obj: Mapping[str, Any]) -> list[str]:
    """Deployments whose key is in the Secret: one that the user named may serve several."""
    if not view.path(obj, "spec", "auth", "secretName"):
        return [view.name_of(obj)]
    return sorted(
        view.name_of(each)
        for each in kube.list(DEPLOYMENTS)
        if is_asked_for(each) and secret_name(each) == secret
    )


def _follow(kube: Kube, name: str, *, restart: bool) -> None:
    pods = kube.list(PODS, selector=view.pod_selector(name, labels.SERVER))
    if not pods:
        output.talk(f"{name}: no server runs, so nothing must restart.")
        return
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    change = f"{RESTART_FIELD}={stamp}"
    if restart:
        changing.run(kube, name, [change], dry=False)
        return
    servers = "its server goes on" if len(pods) == 1 else f"its {len(pods)} servers go on"
    output.talk(
        f"{name}: {servers} with the old key until restarted; the new one is refused till then. "
        "Restart one after another:"
    )
    output.hint(kube.settings.llamactl("set", name, change))
