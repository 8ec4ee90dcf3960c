"""Finds Prometheus on PATH or in the cache, or unpacks Debian's package there.

The package is unpacked and not installed: that takes no root, starts no service and changes
nothing of the machine. Its programs need nothing but the C library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.cluster import paths
from tests.support.once import is_built, once

PACKAGE = "prometheus"
PROGRAMS = ("prometheus", "promtool")
TIMEOUT_SECONDS = 300
_KEY = "debian"


class PrometheusError(Exception):
    """Prometheus cannot be had on this machine; says why."""


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
    target = _cache()
    target.mkdir(parents=True)
    for needed in ("apt-get", "dpkg-deb"):
        if not shutil.which(needed):
            raise PrometheusError(f"there is no {needed}: install {PACKAGE} by your own means")
    try:
        _download(target)
    except PrometheusError:
        _run(["apt-get", "-q", "update"], target)  # lists are old or missing; needs root
        _download(target)
    for archive in target.glob("*.deb"):
        _run(["dpkg-deb", "--extract", archive.name, "."], target)
        archive.unlink()


def _download(target: Path) -> None:
    _run(["apt-get", "-q", "download", PACKAGE], target)


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        tail = " / ".join(done.stderr.strip().splitlines()[-2:])
        raise PrometheusError(f"{' '.join(command)}: {tail or done.returncode}")
