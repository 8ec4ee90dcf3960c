"""Sources that an annotation of a pod carries; light, for llamactl renders flags without the models."""

from __future__ import annotations

from typing import Any


def as_file(annotation: str, module: str) -> dict[str, Any]:
    """An item of a downward API volume: what the annotation holds, as the file of a module."""
    source = {"fieldPath": f"metadata.annotations['{annotation}']"}
    return {"path": f"{module}.py", "fieldRef": source}
