"""Makes the cluster's programs ready: found, downloaded, or built from the pinned go.mod.

The Go module proxy serves everything and go.sum verifies it, so a machine needs only Go. Builds
land in the cache by a rename, under a lock per tool: two builders at once (two test runs, a demo
beside a test run) do the work once and never see half a file.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import download, tools, versions
from .errors import ClusterError
from .paths import tool_cache
from .progress import Progress
from .tools import Tool

BUILD_TIMEOUT_SECONDS = 3600


def ensure(wanted: Sequence[Tool], progress: Progress) -> None:
    """Make every tool of `wanted` ready; raises ClusterError with the build's last lines."""
    for index, tool in enumerate(wanted, start=1):
        found = tools.find(tool)
        if found.path is None:
            _make(tool, f"[{index}/{len(wanted)}] {tool.name} {tool.version}", progress)


def report(wanted: Sequence[Tool], progress: Progress) -> None:
    """Say of every tool where it was found and what was skipped."""
    for index, tool in enumerate(wanted, start=1):
        found = tools.find(tool)
        skipped = f" (skipped: {found.skipped})" if found.skipped else ""
        where = f"{found.path} ({found.source})" if found.path else "missing"
        progress.note(f"[{index}/{len(wanted)}] {tool.name} {tool.version}: {where}{skipped}")


def _make(tool: Tool, label: str, progress: Progress) -> None:
    with _locked(tool, label, progress):
        if os.access(tool.cached, os.X_OK):
            return
        target = tool.cached.parent / f".{tool.name}.{os.getpid()}"
        try:
            if not _downloaded(tool, target, label, progress):
                with progress.step(f"{label}: building"):
                    _compile(tool, target)
            target.chmod(0o755)
            target.rename(tool.cached)
        finally:
            target.unlink(missing_ok=True)


def _downloaded(tool: Tool, target: Path, label: str, progress: Progress) -> bool:
    try:
        data = download.fetch(tool)
    except download.UnavailableError as reason:
        if not tool.ours:
            progress.note(f"{label}: no release download ({reason}); building it instead")
        return False
    target.write_bytes(data)
    progress.note(f"{label}: release downloaded")
    return True


def _compile(tool: Tool, target: Path) -> None:
    go = shutil.which("go")
    if not go:
        raise ClusterError(
            f"{tool.name} has to be built, but there is no `go` on PATH",
            "Install Go 1.21 or newer (it fetches the toolchain that go.mod names)",
        )
    command = [go, "build", "-trimpath", "-ldflags", _linker_flags(), "-o", str(target)]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    done = subprocess.run(
        [*command, tool.package],
        cwd=tool.directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise ClusterError(f"building {tool.name} failed:\n{tail}")


def _linker_flags() -> str:
    # Without these, clients see v0.0.0 and refuse features by version.
    version = versions.kubernetes()
    major, minor = versions.minor(version)
    stamp = "k8s.io/component-base/version"
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s", "-w", *(f"-X {stamp}.{key}={value}" for key, value in values.items())])


@contextmanager
def _locked(tool: Tool, label: str, progress: Progress) -> Iterator[None]:
    tool.cached.parent.mkdir(parents=True, exist_ok=True)
    with (tool_cache() / f".{tool.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step(f"{label}: another build makes it, waiting"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
