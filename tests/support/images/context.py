"""What the Dockerfile copies: wheels of the lock, the project's own, uv, and the list of them all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import paths
from tests.support.cluster.errors import ClusterError
from tests.support.images import lock, sbom
from tests.support.images.architecture import Architecture, own
from tests.support.once import once

LOCK = paths.PROJECT / "requirements" / "runtime.txt"
TOOLS = paths.PROJECT / "requirements" / "dev.txt"
STAGED = paths.PROJECT / "build" / "image"
SBOM = "sbom.cdx.json"
_MANYLINUX = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


@dataclass(frozen=True)
class Base:
    """The base image, as it is told to the Dockerfile, and its Python's version."""

    name: str
    python: str = "3.11"


def project_wheel(directory: Path) -> Path:
    """Build the project's wheel there: same sources, same bytes."""
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)])
    (wheel,) = directory.glob("*.whl")
    return wheel


def wheels(python: str, architecture: Architecture) -> Path:
    """A directory with the wheels of the lock and of uv, hashes checked; kept by lock and Python."""
    machine = architecture.machine
    uv = next(each for each in lock.read(TOOLS.read_text()) if each.name == "uv")
    wanted = LOCK.read_text() + uv.text
    key = hashlib.sha256(f"{python} {machine}\n{wanted}".encode()).hexdigest()[:12]
    target = paths.cache() / "images" / f"wheels-{key}"
    once(target, key, lambda: _download(target, wanted, python, machine))
    return target


@contextmanager
def staged(
    base: Base, wheel: Path, version: str, revision: str, architecture: Architecture | None = None
) -> Iterator[None]:
    """Everything in its place in the tree, for one build at a time."""
    kept = wheels(base.python, architecture or own())
    STAGED.parent.mkdir(exist_ok=True)
    with STAGED.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        shutil.rmtree(STAGED, ignore_errors=True)
        (STAGED / "project").mkdir(parents=True)
        shutil.copy2(wheel, STAGED / "project")
        shutil.copytree(kept, STAGED / "wheels", ignore=shutil.ignore_patterns("uv-*"))
        _uv(wheels(base.python, own()), STAGED / "uv")  # it runs in the build
        listed = sbom.document(
            lock.read(LOCK.read_text()), kept.glob("*.whl"), base.name, version, revision
        )
        (STAGED / SBOM).write_text(json.dumps(listed, indent=1) + "\n")
        _timeless()
        yield


def _download(target: Path, wanted: str, python: str, machine: str) -> None:
    target.mkdir(parents=True)
    tags = [f"--platform={each}_{machine}" for each in _MANYLINUX]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(wanted)
        file.flush()
        _run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps",
             "--only-binary=:all:", f"--python-version={python}", "--implementation=cp", *tags,
             "--dest", str(target), "--requirement", file.name]
        )  # fmt: skip


def _uv(kept: Path, target: Path) -> None:
    (wheel,) = kept.glob("uv-*.whl")
    with zipfile.ZipFile(wheel) as files:
        name = next(each for each in files.namelist() if each.endswith("scripts/uv"))
        target.write_bytes(files.read(name))
    target.chmod(0o755)


def _timeless() -> None:
    """Builders judge a layer by the times of its files as well."""
    for file in STAGED.rglob("*"):
        os.utime(file, (0, 0))


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, cwd=paths.PROJECT, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise ClusterError(f"{' '.join(command[1:4])} failed:\n{tail}")
