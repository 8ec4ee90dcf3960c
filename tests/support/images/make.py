"""Both images, from whichever base, by whichever builder; and those that the local cluster runs."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import paths
from tests.support.cluster.errors import ClusterError
from tests.support.images import architecture, builders, context
from tests.support.images import base as debian_base
from tests.support.images.builders import DOCKERFILE, Builder
from tests.support.images.context import Base
from tests.support.once import is_built, once

TARGETS = ("operator", "weights")
# Of the local cluster: the sources decide what is in them, not the tag.
LOCAL_TAG = "local"
# Archives of the local cluster's images that are kept, one for a state of the sources.
KEPT = 4
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


@dataclass(frozen=True)
class Names:
    """How the images are called: `REGISTRY/llama-operator:TAG`."""

    registry: str
    tag: str

    def of(self, target: str) -> str:
        """Name of one image."""
        return f"{self.registry}/llama-{target}:{self.tag}"


def version() -> str:
    """The project's version."""
    return str(tomllib.loads((paths.PROJECT / "pyproject.toml").read_text())["project"]["version"])


def revision() -> str:
    """The commit; `-dirty` when the tree holds something else."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, cwd=paths.PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def source() -> str:
    """Where the sources are published, as far as the clone knows."""
    command = ["git", "config", "--get", "remote.origin.url"]
    done = subprocess.run(command, cwd=paths.PROJECT, capture_output=True, text=True, check=False)
    address = done.stdout.strip()
    # With a password in it, or a path of this machine, it is nobody's business.
    return address if address.startswith("https://") and "@" not in address else "unknown"


def pinned() -> str:
    """The base that the Dockerfile names."""
    found = re.search(r"^ARG BASE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def base_of(name: str, builder: Builder) -> Base:
    """What BASE stands for: nothing, `debian`, or an image by digest."""
    if name == "debian":
        made = debian_base.ensure()
        tag = f"localhost/llama-base:{debian_base.key()}"
        builder.add_base(tag, made / "rootfs.tar")
        return Base(tag, (made / "python").read_text().strip())
    chosen = name or pinned()
    if not _DIGEST.search(chosen):
        raise ClusterError(
            f"BASE={chosen} is not pinned",
            "Name it with its digest, as in BASE=docker.io/library/python:3.11-slim@sha256:..., "
            "or take BASE=debian",
        )
    return Base(chosen)


def build(builder: Builder, base: Base, names: Names, wheel: Path) -> None:
    """Both images under their names."""
    arguments = {
        "BASE": base.name, "VERSION": version(), "REVISION": revision(), "SOURCE": source(),
        "WHEELS": architecture.own().wheels,
    }  # fmt: skip
    with context.staged(base, wheel, version(), revision()):
        for target in TARGETS:
            builder.build(target, names.of(target), arguments)


def local() -> dict[str, Path]:
    """Archives of both images of this very tree; built when its sources have changed."""
    with tempfile.TemporaryDirectory() as directory:
        wheel = context.project_wheel(Path(directory))
        key = _key(wheel)
        target = paths.cache() / "images" / f"local-{key}"
        if not is_built(target, key):
            once(target, key, lambda: _build_local(target, wheel))
            _forget_old(target)
    target.touch()
    return {name: target / f"{name}.tar" for name in TARGETS}


def _build_local(target: Path, wheel: Path) -> None:
    builder = builders.find()
    names = Names("local", LOCAL_TAG)
    build(builder, base_of("debian", builder), names, wheel)
    target.mkdir(parents=True)
    for name in TARGETS:
        builder.save(names.of(name), target / f"{name}.tar")


def _key(wheel: Path) -> str:
    digest = hashlib.sha256(debian_base.key().encode())
    for file in (wheel, DOCKERFILE, context.LOCK, Path(context.__file__)):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _forget_old(newest: Path) -> None:
    made = sorted(newest.parent.glob("local-*/"), key=lambda each: each.stat().st_mtime)
    for old in made[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
