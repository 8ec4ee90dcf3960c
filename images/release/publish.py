"""The steps of a release, in their order: what can be undone by nobody comes last."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from images.release import build, changelog, notes, oci, pack, pgp, provenance, refusals
from images.release.build import Built, Parts
from images.release.registry import Registry
from images.release.running import run
from images.release.signing import Signer
from images.release.tree import CHART
from images.release.wanted import Facts, Wanted
from tests.support.cluster import build as programs
from tests.support.cluster import paths, tools
from tests.support.cluster.progress import Progress
from tests.support.images import architecture

SBOM_TYPE = "cyclonedx"


@dataclass(frozen=True)
class Release:
    """One call, once it may be made."""

    wanted: Wanted
    facts: Facts
    progress: Progress
    directory: Path
    started: datetime

    @property
    def registry(self) -> Registry:
        """Where it goes."""
        return Registry(str(tools.path_of("crane")))

    @property
    def signer(self) -> Signer:
        """Who vouches for it."""
        return Signer(str(tools.path_of("cosign")), self.wanted, self.directory)


def release(wanted: Wanted, facts: Facts, progress: Progress) -> Path:
    """Make all of it; the directory in dist/ with what belongs to it. Raises Refused, ClusterError."""
    started = datetime.now(UTC)
    programs.ensure((*tools.SIGNING, tools.EXTRAS[0]), progress)
    place = paths.PROJECT / "build"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="release-", dir=place) as directory:
        return _release(Release(wanted, facts, progress, Path(directory), started))


def _release(this: Release) -> Path:
    wanted = this.wanted
    files = this.directory / "files"
    files.mkdir()
    with this.progress.step("images for each architecture"):
        bases = build.bases(this.registry, wanted.base)
        images, parts = build.images(wanted, this.facts, bases, this.directory)
    with this.progress.step("chart"):
        digests = {target: built.digest for target, built in images.items()}
        archive = pack.chart(
            str(tools.path_of("helm")), wanted, this.facts, digests, this.directory
        )
    _refuse_taken(this, images, archive)
    _write_files(this, files, images, parts, archive)
    for target, built in images.items():
        with this.progress.step(f"pushing and signing {wanted.image(target)}"):
            _push(this, files, target, built)
    with this.progress.step(f"pushing and signing {wanted.chart}"):
        chart = _push_chart(this, archive)
    references = {wanted.image(target): built.digest for target, built in images.items()}
    references[wanted.chart] = chart
    _finish_files(this, files, references)
    _check(this, files, references)
    for repository, digest in references.items():
        this.registry.tag(f"{repository}@{digest}", wanted.version)
    return _kept(this, files)


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


def _write_files(
    this: Release,
    files: Path,
    images: Mapping[str, Built],
    parts: Mapping[str, Parts],
    archive: Path,
) -> None:
    for each in (archive, archive.with_name(f"{archive.name}.prov")):
        if each.exists():
            shutil.copy2(each, files)
    for name, part in parts.items():
        _write_json(files / f"sbom-{name}.cdx.json", part.sbom)
    for target in images:
        for name, part in parts.items():
            said = _predicate(this, target, {name: part})
            _write_json(files / f"provenance-{target}-{name}.json", said)
        _write_json(files / f"provenance-{target}.json", _predicate(this, target, parts))


def _predicate(this: Release, target: str, parts: Mapping[str, Parts]) -> oci.Object:
    wanted, facts = this.wanted, this.facts
    lock = hashlib.sha256((paths.PROJECT / "requirements/runtime.txt").read_bytes()).hexdigest()
    materials = [provenance.Material("file:requirements/runtime.txt", lock)]
    for part in parts.values():
        materials += [provenance.base(part.base), *provenance.packages(part.sbom)]
    made = provenance.Run(
        wanted.builder_id, facts.source, facts.revision, wanted.version, facts.epoch,
        this.started, datetime.now(UTC),
    )  # fmt: skip
    platforms = [each.platform for each in architecture.ALL if each.name in parts]
    return provenance.predicate(made, target, platforms, materials)


def _push(this: Release, files: Path, target: str, built: Built) -> None:
    repository, signer = this.wanted.image(target), this.signer
    this.registry.push(built.layout, repository, built.digest)
    for name, image in built.images.items():
        one = f"{repository}@{image.digest}"
        signer.sign(one)
        signer.attest(one, SBOM_TYPE, files / f"sbom-{name}.cdx.json")
        signer.attest(one, provenance.TYPE, files / f"provenance-{target}-{name}.json")
    # What a pod names is the index, so a policy looks for statements about that.
    signer.sign(f"{repository}@{built.digest}")
    signer.attest(
        f"{repository}@{built.digest}", provenance.TYPE, files / f"provenance-{target}.json"
    )


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


def _finish_files(this: Release, files: Path, references: Mapping[str, str]) -> None:
    named = {name: f"{name}@{digest}" for name, digest in references.items()}
    changes = changelog.section(this.facts.changelog, this.wanted.version)
    (files / "notes.md").write_text(notes.text(this.wanted, changes, named))
    about = {"version": this.wanted.version, "revision": this.facts.revision, "digests": references}
    _write_json(files / "release.json", about)
    if public := this.signer.public():
        (files / "cosign.pub").write_text(public)
    if this.wanted.pgp_key and (key := pgp.find(this.wanted.pgp_key)):
        pgp.public(key, files / "pgp.gpg")
    sums = {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in files.iterdir()}
    (files / "SHA256SUMS").write_text(notes.checksums(sums))
    this.signer.sign_file(files / "SHA256SUMS", files / "SHA256SUMS.sigstore.json")


def _check(this: Release, files: Path, references: Mapping[str, str]) -> None:
    """As users will, before anything has a name. An identity is checked by who knows it."""
    if this.wanted.keyless:
        return
    for name, digest in references.items():
        this.signer.check(f"{name}@{digest}", files / "cosign.pub")


def _kept(this: Release, files: Path) -> Path:
    target = paths.PROJECT / "dist" / f"release-{this.wanted.version}"
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(exist_ok=True)
    return Path(shutil.move(files, target))


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=1) + "\n")
