"""A virtual environment with KServe's SDK: 67 packages that nothing else of this repository needs."""

from __future__ import annotations

import hashlib
import platform
import sys
from pathlib import Path

from tests.support.cluster import paths
from tests.support.cluster.progress import Progress
from tests.support.once import once
from tests.support.vllm_cpu.install import run

LOCK = Path(__file__).parents[3] / "requirements/kserve.txt"


def install(progress: Progress | None = None) -> Path:
    """Install unless the very same list is installed; return the environment.

    Raises InstallError.
    """
    venv, said = paths.kserve_venv(), progress or Progress()
    base = f"1 {platform.python_version()} {sys.base_prefix} ".encode()
    once(venv, hashlib.sha256(base + LOCK.read_bytes()).hexdigest(), lambda: _build(venv, said))
    return venv


def _build(venv: Path, progress: Progress) -> None:
    python, uv = str(venv / "bin/python"), (sys.executable, "-m", "uv")
    with progress.step("SDK of KServe"):
        run(*uv, "venv", "--quiet", "--python", sys.executable, str(venv))
        pinned = ("--require-hashes", "--requirements", str(LOCK))
        run(*uv, "pip", "install", "--quiet", "--python", python, *pinned)
