"""How far a rollout is: the page of `llamactl rollout status`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llamactl import view
from llamactl.table import pairs

Object = Mapping[str, Any]
_COUNTS = ("replicas", "updatedReplicas", "readyReplicas")


def page(deployment: Object, width: int) -> str:
    """What is known, a line each."""
    told, names = _part(deployment, "rollout"), _part(deployment, "revision")
    progress = view.condition(deployment, "Progressing")
    rows = [
        ("Rollout", str(progress.get("reason") or "NotLookedAtYet")),
        ("", str(progress.get("message") or "")),
        ("Servers", _servers(deployment)),
        ("Strategy", str(told.get("strategy") or "")),
        ("Free GPUs", str(told.get("freeGPUs", ""))),
        ("Why", str(told.get("reason") or "")),
        ("Revision", str(names.get("update") or "")),
        ("Answering", str(names.get("current") or "")),
        ("Last good", str(names.get("lastGood") or "")),
        ("Rejected", str(names.get("rejected") or "")),
    ]
    return pairs([(label, value) for label, value in rows if value], width)


def summary(deployment: Object) -> dict[str, Any]:
    """The same as a document."""
    status = deployment.get("status") or {}
    return {
        "name": view.name_of(deployment),
        "progressing": view.condition(deployment, "Progressing"),
        **{name: status.get(name, 0) for name in _COUNTS},
        "rollout": _part(deployment, "rollout"),
        "revision": _part(deployment, "revision"),
    }


def stuck(deployment: Object) -> bool:
    """Whether the rollout does not go on by itself."""
    found = view.condition(deployment, "Progressing")
    return found.get("status") == "False" and found.get("reason") != "Paused"


def _part(deployment: Object, name: str) -> dict[str, Any]:
    return dict(view.path(deployment, "status", name) or {})


def _servers(deployment: Object) -> str:
    status = deployment.get("status") or {}
    wanted = view.path(deployment, "spec", "replicas")
    updated, ready = status.get("updatedReplicas", 0), status.get("readyReplicas", 0)
    return f"{updated} of {1 if wanted is None else wanted} replaced, {ready} answer"
