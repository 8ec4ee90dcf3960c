"""Both images for each architecture, as layouts on this machine.

No program of another architecture is ever run, so this needs no emulation: see images/Dockerfile. All
files have the time of the commit, and nothing else of the moment gets in: the same commit gives the
same digests.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from images.release import oci
from images.release.oci import Image, Object
from images.release.refusals import Refusal, Refused
from images.release.registry import Registry
from images.release.wanted import Facts, Wanted, loopback
from tests.support.images import architecture, builders, context, make
from tests.support.images.architecture import Architecture
from tests.support.images.builders import Builder


@dataclass(frozen=True)
class Built:
    """One image: its layout, the digest of its index, and its parts by architecture."""

    layout: Path
    digest: str
    images: Mapping[str, Image]


@dataclass(frozen=True)
class Parts:
    """What the images of one architecture are made of."""

    base: str
    sbom: Object


def bases(registry: Registry, base: str) -> dict[str, str]:
    """The base of each architecture, by its own digest."""
    name = base.partition("@")[0]
    found = {each.name: registry.digest(base, each.platform) for each in architecture.ALL}
    if len(set(found.values())) == len(found) and all(found.values()):
        return {each: f"{name}@{digest}" for each, digest in found.items()}
    fix = "Name the digest of an index, not that of one image: `crane digest python:3.11-slim-bookworm`"
    raise Refused(Refusal("BASE", base, "it is not there for each architecture", fix))


def images(
    wanted: Wanted, facts: Facts, own_bases: Mapping[str, str], directory: Path
) -> tuple[dict[str, Built], dict[str, Parts]]:
    """Build everything: images by name, and what they are made of by architecture."""
    builder = builders.find("buildah")
    wheel = context.project_wheel(directory)
    parts = {}
    for each in architecture.ALL:
        base = own_bases[each.name]
        with context.staged(context.Base(base), wheel, wanted.version, facts.revision, each):
            parts[each.name] = Parts(base, json.loads((context.STAGED / context.SBOM).read_text()))
            for target in make.TARGETS:
                _one(builder, target, each, own_bases, (wanted, facts), directory / target)
    return {target: _indexed(directory / target) for target in make.TARGETS}, parts


def _one(
    builder: Builder,
    target: str,
    wanted_for: Architecture,
    own_bases: Mapping[str, str],
    release: tuple[Wanted, Facts],
    layout: Path,
) -> None:
    wanted, facts = release
    arguments = {
        "BASE": own_bases[wanted_for.name],
        "BUILD_BASE": own_bases[architecture.own().name],
        "WHEELS": wanted_for.wheels,
        "VERSION": wanted.version,
        "REVISION": facts.revision,
        "SOURCE": facts.source,
    }
    plain = ("--tls-verify=false",) if loopback(wanted.base) else ()
    clean = ("--layers=false", "--no-cache", f"--timestamp={facts.epoch}")
    with tempfile.TemporaryDirectory() as unique:
        tag = f"localhost/llama-release-{target}:{Path(unique).name.lower()}"
        builder.build(target, tag, arguments, (f"--platform={wanted_for.platform}", *clean, *plain))
        builder.run("push", tag, f"oci:{layout}:{wanted_for.name}")
        builder.run("rmi", tag)


def _indexed(layout: Path) -> Built:
    """Put one index in front of the images of a layout."""
    found = oci.images(json.loads((layout / "index.json").read_text()))
    index = oci.index(found)
    (layout / "index.json").write_bytes(index)
    return Built(layout, oci.digest_of(index), found)
