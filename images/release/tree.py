"""What the working tree says about the release that is asked for."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml
from images.release import pgp
from images.release.running import run
from images.release.wanted import Facts, Wanted
from tests.support.cluster import paths
from tests.support.images import make

CHART = paths.PROJECT / "charts" / "llama-operator"


def facts(wanted: Wanted) -> Facts:
    """Everything that the refusals judge."""
    return Facts(
        versions=_versions(),
        changelog=(paths.PROJECT / "CHANGELOG.md").read_text(),
        dirty=tuple(line[3:] for line in run(["git", "status", "--porcelain"]).splitlines()),
        revision=run(["git", "rev-parse", "HEAD"]).strip(),
        source=make.source(),
        epoch=int(run(["git", "log", "-1", "--format=%ct"])),
        key_found=_there(wanted),
        pgp_found=not wanted.pgp_key or pgp.find(wanted.pgp_key) is not None,
    )


def _versions() -> dict[str, str]:
    project = tomllib.loads((paths.PROJECT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    return {
        "pyproject.toml": str(project["version"]),
        "Chart.yaml (version)": str(chart["version"]),
        "Chart.yaml (appVersion)": str(chart["appVersion"]),
    }


def _there(wanted: Wanted) -> bool:
    """A key of a KMS is looked for by its first use."""
    return wanted.keyless or "://" in wanted.key or Path(wanted.key).is_file()
