"""Programs of a release: what they say, or why they failed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.cluster import paths
from tests.support.cluster.errors import ClusterError

TIMEOUT_SECONDS = 900
_TAIL = 8


def run(
    command: Sequence[str], *, directory: Path = paths.PROJECT, env: Mapping[str, str] | None = None
) -> str:
    """Its output; raises ClusterError with its last lines. Nothing secret stands in a command."""
    done = attempt(command, directory=directory, env=env)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_TAIL:])
        raise ClusterError(f"{Path(command[0]).name} {' '.join(command[1:3])} failed:\n{tail}")
    return done.stdout


def attempt(
    command: Sequence[str], *, directory: Path = paths.PROJECT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What came of it, whatever that is. Nobody is asked anything."""
    return subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
