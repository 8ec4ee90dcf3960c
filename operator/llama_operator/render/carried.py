"""Sources that an annotation of a pod carries; light, for llamactl renders flags without the models."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def as_file(annotation: str, file: Path) -> dict[str, Any]:
    """An item of a downward API volume: what the annotation holds, under the name of its file."""
    source = {"fieldPath": f"metadata.annotations['{annotation}']"}
    return {"path": file.name, "fieldRef": source}
