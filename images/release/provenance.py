"""How an image came about, as SLSA's provenance v1 says it. Pure.

Who signs it vouches for it. Made on a maintainer's machine it is build level 1: nothing but that
person's word keeps it from being made up. A build service names itself as the builder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
BUILD_TYPE = "https://llamactl.dev/release/v1"
TYPE = "slsaprovenance1"  # as cosign calls it


@dataclass(frozen=True)
class Run:
    """One call of `make release`."""

    builder_id: str
    source: str
    revision: str
    version: str
    epoch: int
    started: datetime
    finished: datetime


@dataclass(frozen=True)
class Material:
    """Something that went in, by its address and SHA-256."""

    uri: str
    sha256: str

    def described(self) -> Object:
        """A ResourceDescriptor."""
        return {"uri": self.uri, "digest": {"sha256": self.sha256}}


def predicate(
    run: Run, target: str, platforms: Sequence[str], materials: Iterable[Material]
) -> Object:
    """The predicate for an image or an index of several; what it is about, cosign adds."""
    commit = {"uri": f"git+{run.source}@{run.revision}", "digest": {"gitCommit": run.revision}}
    unique = sorted({(each.uri, each.sha256): each for each in materials}.items())
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "source": commit,
                "dockerfile": "images/Dockerfile",
                "target": target,
                "platforms": list(platforms),
                "version": run.version,
            },
            "internalParameters": {"SOURCE_DATE_EPOCH": run.epoch},
            "resolvedDependencies": [commit, *(each.described() for _, each in unique)],
        },
        "runDetails": {
            "builder": {"id": run.builder_id},
            "metadata": {
                "invocationId": f"{run.revision}-{_time(run.started)}",
                "startedOn": _time(run.started),
                "finishedOn": _time(run.finished),
            },
        },
    }


def base(reference: str) -> Material:
    """A base image, named with its digest."""
    name, _, digest = reference.partition("@sha256:")
    return Material(f"docker://{name}", digest)


def packages(sbom: Object) -> list[Material]:
    """The Python packages of a list of parts, each with the file that was taken."""
    return [
        Material(each["purl"], each["hashes"][0]["content"])
        for each in sbom["components"]
        if "purl" in each
    ]


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
