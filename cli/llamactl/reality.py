"""The plan of a deployment against what its servers turned out to have. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llamactl import view

Object = Mapping[str, Any]
# vLLM measures the memory that it finds free; a few parts in a hundred are its noise.
NOISE = 0.05


@dataclass(frozen=True)
class Compared:
    """One figure: as planned, as found (None where no server has told), and whether they differ."""

    what: str
    planned: Any
    found: Any
    note: str = ""


def compare(deployment: Object) -> list[Compared]:
    """What can be compared: nothing before there is a plan."""
    plan = view.path(deployment, "status", "plan") or {}
    if not plan:
        return []
    seen = view.path(deployment, "status", "observed") or {}
    version = view.path(deployment, "spec", "engine", "version")
    wanted = view.path(deployment, "spec", "replicas")
    rows = [
        _compared("replicas", wanted, view.path(deployment, "status", "readyReplicas") or 0),
        _compared("context, tokens", plan.get("maxModelLen"), seen.get("maxModelLen")),
        _compared("KV cache, tokens", plan.get("kvTokens"), seen.get("kvTokens")),
        _compared("vLLM", version, seen.get("vllmVersion")),
    ]
    return [row for row in rows if row.planned is not None or row.found is not None]


def _compared(what: str, planned: Any, found: Any) -> Compared:
    if planned is None or found is None:
        return Compared(what, planned, found)
    if not isinstance(planned, int) or not isinstance(found, int) or not planned:
        return Compared(what, planned, found, "" if planned == found else "differs")
    share = found / planned - 1
    return Compared(what, planned, found, "" if abs(share) <= NOISE else _share(share))


def _share(share: float) -> str:
    percent = round(100 * abs(share))
    return f"{percent}% {'more' if share > 0 else 'less'}"
