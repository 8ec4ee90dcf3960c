"""The steps of a release, in their order: what can be undone by nobody comes last."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from images.release import build, oci, pack, provenance, refusals
from images.release.build import Built
from images.release.files import Files
from images.release.registry import Registry
from images.release.running import run
from images.release.signing import Signer
from images.release.tree import CHART
from images.release.wanted import Facts, Wanted
from tests.support.cluster import build as programs
from tests.support.cluster import paths, tools
from tests.support.cluster.progress import Progress

SBOM_TYPE = "cyclonedx"  # as cosign calls it


@dataclass(frozen=True)
class Release:
    """One call, once it may be made."""

    wanted: Wanted
    files: Files
    registry: Registry
    signer: Signer


def release(wanted: Wanted, facts: Facts, progress: Progress) -> Path:
    """Make all of it; the directory in dist/ with what belongs to it. Raises Refused, ClusterError."""
    programs.ensure((*tools.SIGNING, tools.HELM_PROGRAM), progress)
    place = paths.PROJECT / "build"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="release-", dir=place) as temporary:
        directory = Path(temporary)
        files = Files(directory / "files", wanted, facts, datetime.now(UTC))
        files.directory.mkdir()
        registry = Registry(str(tools.path_of("crane")))
        signer = Signer(str(tools.path_of("cosign")), wanted, directory)
        images, archive = _made(registry, files, directory, progress)
        return _published(Release(wanted, files, registry, signer), images, archive, progress)


def _made(
    registry: Registry, files: Files, directory: Path, progress: Progress
) -> tuple[dict[str, Built], Path]:
    """Images and chart, on this machine alone."""
    wanted, facts = files.wanted, files.facts
    with progress.step("images for each architecture"):
        bases = build.bases(registry, wanted.base)
        images, parts = build.images(wanted, facts, bases, directory)
    with progress.step("chart"):
        digests = {target: built.digest for target, built in images.items()}
        archive = pack.chart(str(tools.path_of("helm")), wanted, facts, digests, directory)
    files.write(images, parts, archive)
    return images, archive


def _published(
    this: Release, images: Mapping[str, Built], archive: Path, progress: Progress
) -> Path:
    _refuse_taken(this, images, archive)
    references = {}
    for target, built in images.items():
        with progress.step(f"pushing and signing {this.wanted.image(target)}"):
            _push(this, target, built)
        references[this.wanted.image(target)] = built.digest
    with progress.step(f"pushing and signing {this.wanted.chart}"):
        references[this.wanted.chart] = _push_chart(this, archive)
    this.files.finish(references, this.signer)
    _check(this, references)
    for repository, digest in references.items():
        this.registry.tag(f"{repository}@{digest}", this.wanted.version)
    return this.files.keep()


def _refuse_taken(this: Release, images: Mapping[str, Built], archive: Path) -> None:
    """Tags never move. What is there already and is the same may be there."""
    tag = this.wanted.version
    found = []
    for target, built in images.items():
        name = f"{this.wanted.image(target)}:{tag}"
        found.append(refusals.of_tag(name, this.registry.digest(name), built.digest))
    name = f"{this.wanted.chart}:{tag}"
    # A .prov differs each time it is signed, so the manifest does; the archive does not.
    there = oci.layer(this.registry.manifest(name), oci.CHART_LAYER)
    found.append(refusals.of_tag(name, there, oci.digest_of(archive.read_bytes())))
    if taken := [each for each in found if each]:
        raise refusals.Refused(*taken)


def _push(this: Release, target: str, built: Built) -> None:
    repository, signer, files = this.wanted.image(target), this.signer, this.files
    this.registry.push(built.layout, repository, built.digest)
    for name, image in built.images.items():
        one = f"{repository}@{image.digest}"
        signer.sign(one)
        signer.attest(one, SBOM_TYPE, files.sbom(name))
        signer.attest(one, provenance.TYPE, files.provenance(target, name))
    # What a pod names is the index, so a policy looks for statements about that.
    whole = f"{repository}@{built.digest}"
    signer.sign(whole)
    signer.attest(whole, provenance.TYPE, files.provenance(target))


def _push_chart(this: Release, archive: Path) -> str:
    """Its digest; one that is there already stays as it is."""
    name = f"{CHART.name}:{this.wanted.version}"
    if there := this.registry.digest(f"{this.wanted.chart}:{this.wanted.version}"):
        return there
    with this.registry.beside() as host:
        helm = str(tools.path_of("helm"))
        run([helm, "push", str(archive), f"oci://{host}", "--plain-http"])
        digest = this.registry.digest(f"{host}/{name}")
        this.registry.copy(f"{host}/{name}", f"{this.wanted.chart}@{digest}")
    this.signer.sign(f"{this.wanted.chart}@{digest}")
    return digest


def _check(this: Release, references: Mapping[str, str]) -> None:
    """As users will, before anything has a name. An identity is checked by who knows it."""
    if not this.wanted.keyless:
        for name, digest in references.items():
            this.signer.check(f"{name}@{digest}", this.files.public)
