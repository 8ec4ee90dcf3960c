"""Files that run inside of engines, loaded as an engine does: by their path."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def loaded(name: str, file: Path) -> Any:
    """A new module of this name."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
