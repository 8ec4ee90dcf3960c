"""What a deletion takes with it and what it leaves, in words. Pure."""

from __future__ import annotations

from llamactl import view
from llamactl.stages import Snapshot
from llamactl.units import bytes_text

DEFAULT_AFTER = "24h"


def lines(seen: Snapshot) -> list[str]:
    """Two lines: what goes, what is kept."""
    return [f"Goes: {', '.join(_goes(seen))}.", f"Kept: {', '.join(_kept(seen))}."]


def _goes(seen: Snapshot) -> list[str]:
    name = view.name_of(seen.deployment)
    pods = [f"its {_pods(len(seen.pods))}"] if seen.pods else []
    goes = [f"LlamaDeployment {name}", *pods, "its Service"]
    own_key = not view.path(seen.deployment, "spec", "auth", "secretName")
    if own_key and view.path(seen.deployment, "spec", "auth", "mode") != "None":
        goes.append(f"Secret {name}-api-key (the key ends)")
    return goes


def _pods(count: int) -> str:
    return "server pod" if count == 1 else f"{count} server pods"


def _kept(seen: Snapshot) -> list[str]:
    weights = seen.weights
    if weights is None:
        name = view.path(seen.deployment, "status", "weights", "name")
        return [f"LlamaWeights {name}" if name else "nothing; no weights were fetched yet"]
    size = view.path(weights, "status", "bytes")
    text = f"LlamaWeights {view.name_of(weights)}"
    text += f" ({bytes_text(size)})" if size else ""
    claim = view.path(weights, "status", "claimName")
    return [text + _until(seen, weights), *([f"volume claim {claim}"] if claim else [])]


def _until(seen: Snapshot, weights: view.Object) -> str:
    users = view.path(weights, "status", "usedBy") or []
    others = [user for user in users if user != view.name_of(seen.deployment)]
    if others:
        return f", which {', '.join(others)} also uses"
    if view.path(weights, "spec", "retention", "policy") != "Delete":
        return " until you delete it"
    after = view.path(weights, "spec", "retention", "afterUnused") or DEFAULT_AFTER
    return f" for {after} after its last use"
