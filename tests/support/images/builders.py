"""Docker, podman or buildah, whichever is there; on Debian also a buildah that is only unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import debian
from tests.support.cluster import paths
from tests.support.cluster.errors import ClusterError
from tests.support.images import unpacked

DOCKERFILE = paths.PROJECT / "images" / "Dockerfile"
KNOWN = ("docker", "podman", "buildah")
TIMEOUT_SECONDS = 1800
FIX = (
    "Install one (`sudo apt-get install buildah`), start Docker's daemon, or be root on Debian or "
    "Ubuntu: there buildah is unpacked into the cache"
)


@dataclass(frozen=True)
class Builder:
    """A program that builds images. `name` decides how it is spoken to."""

    name: str
    program: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)

    def build(
        self, target: str, tag: str, arguments: Mapping[str, str], more: Sequence[str] = ()
    ) -> None:
        """Build one target of the Dockerfile; raises ClusterError with the build's last lines."""
        given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        command = ("bud", "--layers") if self.name == "buildah" else ("build",)
        context = ("-f", str(DOCKERFILE), str(paths.PROJECT))
        self.run(*command, f"--target={target}", *given, *more, "-t", tag, *context)

    def derive(self, tag: str, archive: Path, lines: Sequence[str]) -> None:
        """An image of an archive and some more lines of a Dockerfile."""
        base = f"docker-archive:{archive}"
        if self.name != "buildah":
            base = self.run("load", "-q", "-i", str(archive)).strip().rpartition(": ")[2]
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "Dockerfile"
            file.write_text("\n".join([f"FROM {base}", *lines, ""]))
            command = "bud" if self.name == "buildah" else "build"
            self.run(command, "-f", str(file), "-t", tag, directory)

    def save(self, tag: str, file: Path) -> None:
        """Write an image as an archive that `ctr images import` and `docker load` take."""
        file.unlink(missing_ok=True)
        if self.name == "buildah":
            self.run("push", tag, f"docker-archive:{file}:{tag}")
            return
        form = ("--format=docker-archive",) if self.name == "podman" else ()
        self.run("save", *form, "-o", str(file), tag)

    def push(self, tag: str) -> None:
        """Push to the registry that the tag names."""
        self.run("push", tag)

    def add_base(self, tag: str, rootfs: Path) -> None:
        """Make an image of a root file system, unless there is one of that name."""
        if self._succeeds("inspect", "--type=image", tag):
            return
        if self.name != "buildah":
            self.run("import", str(rootfs), tag)
            return
        container = self.run("from", "scratch").strip()
        try:
            self.run("add", "-q", container, str(rootfs), "/")
            self.run("commit", "-q", container, tag)
        finally:
            self.run("rm", container)

    def run(self, *arguments: str) -> str:
        """Output of the program."""
        done = self._run(*arguments)
        if done.returncode != 0:
            tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
            raise ClusterError(f"{self.name} {arguments[0]} failed:\n{tail}")
        return done.stdout

    def _succeeds(self, *arguments: str) -> bool:
        return self._run(*arguments).returncode == 0

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.program, *arguments],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )


def find(wanted: str = "") -> Builder:
    """The builder of that name, or the first that works; raises ClusterError where none does."""
    if wanted and wanted not in KNOWN:
        raise ClusterError(f"BUILDER={wanted} is not known", f"One of {', '.join(KNOWN)}")
    why = []
    for name in (wanted,) if wanted else KNOWN:
        if not shutil.which(name):
            why.append(f"{name} is not on PATH")
        elif name == "docker" and not _answers(name):
            why.append("docker's daemon does not answer")
        else:
            return _found(name)
    if wanted in ("", "buildah"):
        try:
            return Builder("buildah", unpacked.command(), unpacked.environment())
        except debian.DebianError as problem:
            why.append(str(problem))
    raise ClusterError(f"nothing here builds images: {'; '.join(why)}", FIX)


def _found(name: str) -> Builder:
    # As root without user namespaces nothing else works everywhere, and isolates enough here.
    chroot = name == "buildah" and os.geteuid() == 0
    return Builder(name, (name,), {"BUILDAH_ISOLATION": "chroot"} if chroot else {})


def _answers(docker: str) -> bool:
    try:
        done = subprocess.run([docker, "info"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
