"""Both images for each architecture, as layouts on this machine.

No program of another architecture is ever run, so this needs no emulation: see images/Dockerfile. All
files have the time of the commit, and nothing else of the moment gets in: the same commit gives the
same digests.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from images.release import oci
from images.release.oci import Image, Object
from images.release.refusals import Refusal, Refused
from images.release.registry import Registry
from images.release.wanted import Facts, Wanted, loopback
from tests.support.cluster import paths
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
    wheel = context.project_wheel(directory)
    layout, parts = directory / "layout", {}
    with _builder() as builder:
        for each in architecture.ALL:
            base = context.Base(own_bases[each.name])
            with context.staged(base, wheel, wanted.version, facts.revision, each):
                listed = json.loads((context.STAGED / context.SBOM).read_text())
                parts[each.name] = Parts(base.name, listed)
                arguments = _arguments(wanted, facts, own_bases, each)
                options = _options(wanted, facts, each)
                for target in make.TARGETS:
                    tag = f"localhost/llama-{target}:{each.name}"
                    builder.build(target, tag, arguments, options)
                    builder.run("push", tag, f"oci:{layout}:{target}-{each.name}")
    return {target: _indexed(layout, target) for target in make.TARGETS}, parts


@contextmanager
def _builder() -> Iterator[Builder]:
    """With a storage of its own, so that nothing of another build gets into a release."""
    found = builders.find("buildah")
    with tempfile.TemporaryDirectory(prefix="release-", dir=paths.cache()) as place:
        own = (f"--root={place}/storage", f"--runroot={place}/run")
        yield replace(found, program=(*found.program, *own))


def _arguments(
    wanted: Wanted, facts: Facts, own_bases: Mapping[str, str], wanted_for: Architecture
) -> dict[str, str]:
    return {
        "BASE": own_bases[wanted_for.name],
        "BUILD_BASE": own_bases[architecture.own().name],
        "WHEELS": wanted_for.wheels,
        "VERSION": wanted.version,
        "REVISION": facts.revision,
        "SOURCE": facts.source,
    }


def _options(wanted: Wanted, facts: Facts, wanted_for: Architecture) -> list[str]:
    plain = ["--tls-verify=false"] if loopback(wanted.base) else []
    return [f"--platform={wanted_for.platform}", f"--timestamp={facts.epoch}", *plain]


def _indexed(layout: Path, target: str) -> Built:
    """A layout with the index of one image, over the blobs of all."""
    found = {
        name.removeprefix(f"{target}-"): image
        for name, image in oci.images(json.loads((layout / "index.json").read_text())).items()
        if name.startswith(f"{target}-")
    }
    index = oci.index(found)
    own = layout.with_name(target)
    own.mkdir()
    (own / "blobs").symlink_to(layout / "blobs")
    (own / "oci-layout").write_text(json.dumps(oci.LAYOUT))
    (own / "index.json").write_bytes(index)
    return Built(own, oci.digest_of(index), found)
