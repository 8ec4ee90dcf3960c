"""Debian's packages unpacked and not installed.

That takes no root, starts no service and changes nothing of the machine; apt checks signatures and
hashes as ever.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

TIMEOUT_SECONDS = 300


class DebianError(Exception):
    """A package cannot be had on this machine; says why."""


def unpack(packages: Sequence[str], target: Path) -> None:
    """Unpack packages, without what they depend on, into a directory that this makes."""
    target.mkdir(parents=True)
    require("apt-get", "dpkg-deb", packages=packages)
    try:
        run(["apt-get", "-q", "download", *packages], target)
    except DebianError:
        run(["apt-get", "-q", "update"], target)  # lists are old or missing; needs root
        run(["apt-get", "-q", "download", *packages], target)
    for archive in target.glob("*.deb"):
        run(["dpkg-deb", "--extract", archive.name, "."], target)
        archive.unlink()


def require(*programs: str, packages: Sequence[str]) -> None:
    """Raise DebianError where one of the programs is not there."""
    for needed in programs:
        if not shutil.which(needed):
            wanted = " ".join(packages)
            raise DebianError(f"there is no {needed}: install {wanted} by your own means")


def run(command: Sequence[str], directory: Path) -> None:
    """Run a program there; raises DebianError with its last words."""
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
        raise DebianError(f"{' '.join(command)}: {tail or done.returncode}")
