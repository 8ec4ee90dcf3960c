"""The models that llamactl knows: the packaged catalogue, and a file of the user's own.

LLAMACTL_MODELS names a file of the catalogue's schema, the one that the operator is given too.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama_operator.catalog.catalog import Catalog

VARIABLE = "LLAMACTL_MODELS"


def models() -> Catalog:
    """Raises UsageError where the file does not follow the schema, naming its field."""
    return _load(os.environ.get(VARIABLE, ""))


@cache
def _load(path: str) -> Catalog:
    from llama_operator.catalog import catalog

    return catalog.load(path or None)
