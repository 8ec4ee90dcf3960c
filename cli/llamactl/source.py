"""MODEL of `llamactl plan`: a catalogue name, a directory, or a config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_operator.api.errors import PlanRefused
from llamactl.errors import BadValueError

if TYPE_CHECKING:
    from llama_operator.catalog.shape import Shape

_LARGEST_CONFIG = 4 << 20


@dataclass(frozen=True)
class Source:
    """What is planned: `model` is what a spec would hold, `said` what the text was taken for."""

    model: str
    shape: Shape
    weights_bytes: int
    said: str = ""


def find(text: str) -> Source:
    """Raises BadValueError for what names no model, PlanRefused for what cannot be served."""
    if not text.strip():
        raise BadValueError("no model is named", field="MODEL", next="llamactl models")
    path = Path(text).expanduser()
    if path.suffix == ".json" or text.startswith((".", "/", "~")) or path.is_dir():
        return _of_path(path)
    from llamactl.modelname import resolve

    found = resolve(text)
    if found.entry is None:
        raise BadValueError(
            f"{text} is not in the catalogue, and nothing is fetched to plan it",
            field="MODEL",
            fix="Download its config.json and name that file; in a cluster the operator reads it",
            next=f"llamactl deploy {text}",
        )
    return Source(found.model, found.entry.shape, found.entry.weights_bytes, found.said(text))


def _of_path(path: Path) -> Source:
    from llama_operator.catalog.shape import Shape

    config = path / "config.json" if path.is_dir() else path
    shape = Shape.from_config(_read(config))
    directory = config.parent
    return Source(directory.resolve().name, shape, _tensor_bytes(directory) if path.is_dir() else 0)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_CONFIG + 1)
        if len(text) > _LARGEST_CONFIG:
            raise BadValueError(f"{path} is larger than 4 MiB; no config.json is", field="MODEL")
        value = json.loads(text)
    except OSError as error:
        raise BadValueError(f"{path}: {error.strerror}", field="MODEL") from error
    except ValueError as error:
        raise BadValueError(f"{path} is not JSON: {error}", field="MODEL") from error
    if not isinstance(value, dict):
        raise PlanRefused("ModelNotServable", f"{path} holds no object", field="MODEL")
    return value


def _tensor_bytes(directory: Path) -> int:
    """Bytes of the safetensors files, headers included (under 0.01 %); 0 where there are none."""
    return sum(file.stat().st_size for file in directory.glob("*.safetensors"))
