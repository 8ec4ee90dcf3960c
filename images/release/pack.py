"""The chart of a release, packed the same way each time, and signed by PGP where a key is given."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from images.release import chart_text, pgp
from images.release.chart_text import SignKey
from images.release.running import run
from images.release.tree import CHART
from images.release.wanted import Facts, Wanted
from tests.support.images import architecture


def chart(
    helm: str, wanted: Wanted, facts: Facts, digests: Mapping[str, str], directory: Path
) -> Path:
    """The archive; its .prov lies beside it."""
    key = pgp.find(wanted.pgp_key) if wanted.pgp_key else None
    place = directory / CHART.name
    shutil.copytree(CHART, place)
    _write(place, wanted, digests, SignKey(key.fingerprint, wanted.pgp_url) if key else None)
    # Helm takes the times of files for those in its archive.
    for file in (place, *place.rglob("*")):
        os.utime(file, (facts.epoch, facts.epoch))
    signed = _signed(key, wanted, directory / "keyring") if key else ()
    run([helm, "package", str(place), f"--destination={directory}", *signed])
    shutil.rmtree(directory / "keyring", ignore_errors=True)
    archive = directory / f"{CHART.name}-{wanted.version}.tgz"
    os.utime(archive, (facts.epoch, facts.epoch))
    return archive


def _write(place: Path, wanted: Wanted, digests: Mapping[str, str], key: SignKey | None) -> None:
    images = {target: (wanted.image(target), digest) for target, digest in digests.items()}
    values = place / "values.yaml"
    values.write_text(chart_text.values(values.read_text(), images))
    listed = {
        f"llama-{target}": f"{name}:{wanted.version}@{digest}"
        for target, (name, digest) in images.items()
    }
    platforms = [each.platform for each in architecture.ALL]
    about = place / "Chart.yaml"
    about.write_text(chart_text.chart(about.read_text(), listed, platforms, key))


def _signed(key: pgp.Key, wanted: Wanted, keyring: Path) -> tuple[str, ...]:
    keyring.mkdir(mode=0o700)
    secret = pgp.export(key, wanted.pgp_passphrase_file, keyring)
    options = ("--sign", f"--key={key.user}", f"--keyring={secret}")
    if not wanted.pgp_passphrase_file:
        return options
    return (*options, f"--passphrase-file={wanted.pgp_passphrase_file}")
