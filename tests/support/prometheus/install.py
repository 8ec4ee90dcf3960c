"""Finds Prometheus on PATH or in the cache, or unpacks Debian's package there.

Its programs need nothing but the C library.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.support.cluster import paths
from tests.support.debian import DebianError as PrometheusError
from tests.support.debian import unpack
from tests.support.once import is_built, once

PACKAGE = "prometheus"
PROGRAMS = ("prometheus", "promtool")
__all__ = ["PACKAGE", "PROGRAMS", "PrometheusError", "find", "install"]
_KEY = "debian"


def find(program: str) -> Path | None:
    """The program on PATH or in the cache; None where there is none."""
    on_path = shutil.which(program)
    if on_path:
        return Path(on_path)
    cached = _cache() / "usr/bin" / program
    return cached if is_built(_cache(), _KEY) and os.access(cached, os.X_OK) else None


def install() -> None:
    """Make both programs ready, once; raises PrometheusError where that cannot be done."""
    if not all(find(program) for program in PROGRAMS):
        once(_cache(), _KEY, _unpack)


def _cache() -> Path:
    return paths.tool_cache() / "prometheus-debian"


def _unpack() -> None:
    unpack([PACKAGE], _cache())
