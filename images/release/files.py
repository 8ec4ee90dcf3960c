"""The files that belong to a release: lists of parts, provenance, the chart, notes, checksums."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from images.release import changelog, notes, oci, pgp, provenance
from images.release.build import Built, Parts
from images.release.signing import Signer
from images.release.wanted import Facts, Wanted
from tests.support.cluster import paths
from tests.support.images import architecture, context


@dataclass(frozen=True)
class Files:
    """They are written below `directory`, as long as the release is not whole."""

    directory: Path
    wanted: Wanted
    facts: Facts
    started: datetime

    def sbom(self, name: str) -> Path:
        """What the images of an architecture are made of."""
        return self.directory / f"sbom-{name}.cdx.json"

    def provenance(self, target: str, name: str = "") -> Path:
        """How an image came about; without an architecture, the index of all."""
        return self.directory / f"provenance-{'-'.join(filter(None, (target, name)))}.json"

    @property
    def public(self) -> Path:
        """The key that users verify with."""
        return self.directory / "cosign.pub"

    def write(self, images: Mapping[str, Built], parts: Mapping[str, Parts], archive: Path) -> None:
        """What is signed and attested."""
        for each in (archive, archive.with_name(f"{archive.name}.prov")):
            if each.exists():
                shutil.copy2(each, self.directory)
        for name, part in parts.items():
            _json(self.sbom(name), part.sbom)
        for target in images:
            for name, part in parts.items():
                _json(self.provenance(target, name), self._predicate(target, {name: part}))
            _json(self.provenance(target), self._predicate(target, parts))

    def finish(self, references: Mapping[str, str], signer: Signer) -> None:
        """What users read and check; `references` is digest by repository."""
        named = {name: f"{name}@{digest}" for name, digest in references.items()}
        changes = changelog.section(self.facts.changelog, self.wanted.version)
        (self.directory / "notes.md").write_text(notes.text(self.wanted, changes, named))
        about = {"version": self.wanted.version, "revision": self.facts.revision}
        _json(self.directory / "release.json", {**about, "digests": references})
        if public := signer.public():
            self.public.write_text(public)
        if self.wanted.pgp_key and (key := pgp.find(self.wanted.pgp_key)):
            pgp.public(key, self.directory / "pgp.gpg")
        sums = {each.name: _sha256(each) for each in self.directory.iterdir()}
        listed = self.directory / "SHA256SUMS"
        listed.write_text(notes.checksums(sums))
        signer.sign_file(listed, listed.with_suffix(".sigstore.json"))

    def keep(self) -> Path:
        """Put them into dist/, in place of those of an earlier try."""
        target = paths.PROJECT / "dist" / f"release-{self.wanted.version}"
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(exist_ok=True)
        return Path(shutil.move(self.directory, target))

    def _predicate(self, target: str, parts: Mapping[str, Parts]) -> oci.Object:
        materials = [provenance.Material("file:requirements/runtime.txt", _sha256(context.LOCK))]
        for part in parts.values():
            materials += [provenance.base(part.base), *provenance.packages(part.sbom)]
        made = provenance.Run(
            builder_id=self.wanted.builder_id,
            source=self.facts.source,
            revision=self.facts.revision,
            version=self.wanted.version,
            epoch=self.facts.epoch,
            started=self.started,
            finished=datetime.now(UTC),
        )
        platforms = [each.platform for each in architecture.ALL if each.name in parts]
        return provenance.predicate(made, target, platforms, materials)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=1) + "\n")
