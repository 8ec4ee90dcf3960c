"""A strategic merge, as KServe lays an LLMInferenceService over a preset: pure."""

from __future__ import annotations

from typing import Any

# Lists that are merged item by item, and by which field; of all others the later one counts.
KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
}


def merged(below: Any, above: Any, name: str = "") -> Any:
    """`above` laid over `below`, a field of this name."""
    if isinstance(below, dict) and isinstance(above, dict):
        if name == "volumes[]":
            return above  # of what a volume is, only one kind stays
        both = {**below, **above}
        shared = below.keys() & above.keys()
        return {**both, **{key: merged(below[key], above[key], key) for key in shared}}
    if isinstance(below, list) and isinstance(above, list) and name in KEYS:
        return _items(below, above, name)
    return above


def _items(below: list[Any], above: list[Any], name: str) -> list[Any]:
    key = KEYS[name]
    upper = {each[key]: each for each in above}
    lower = {each[key]: each for each in below}
    mine = [merged(lower.get(each[key], {}), each, f"{name}[]") for each in above]
    return [*mine, *(each for each in below if each[key] not in upper)]
