"""The PGP key that signs the chart's .prov, out of gpg's keyring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from images.release.running import attempt, run
from tests.support.cluster.errors import ClusterError


@dataclass(frozen=True)
class Key:
    """`user` is how helm finds it, by the whole words of its owner's name."""

    fingerprint: str
    user: str


def find(name: str) -> Key | None:
    """The secret key that gpg knows by that name, fingerprint or address."""
    done = attempt(["gpg", "--batch", "--with-colons", "--list-secret-keys", name])
    return parsed(done.stdout) if done.returncode == 0 else None


def parsed(listing: str) -> Key | None:
    """The first key of gpg's listing with colons: field 10 of `fpr` and of `uid`."""
    rows = [line.split(":") for line in listing.splitlines()]
    fingerprints = [row[9] for row in rows if row[0] == "fpr"]
    users = [row[9] for row in rows if row[0] == "uid"]
    return Key(fingerprints[0], users[0]) if fingerprints and users else None


def export(key: Key, passphrase_file: str, directory: Path) -> Path:
    """The secret key as helm reads it, in a directory that only this user may read."""
    file = directory / "secring.gpg"
    given = ("--passphrase-file", passphrase_file) if passphrase_file else ("--passphrase", "")
    command = ("gpg", "--batch", "--yes", "--pinentry-mode", "loopback", *given,
               "--output", str(file), "--export-secret-keys", key.fingerprint)  # fmt: skip
    directory.chmod(0o700)
    run(command)
    if not file.is_file():
        raise ClusterError(f"gpg exports no secret key {key.fingerprint}", "Is it on a card?")
    return file


def public(key: Key, file: Path) -> None:
    """Write the public half, for `helm verify` and for the address of signKey."""
    run(["gpg", "--batch", "--yes", "--output", str(file), "--export", key.fingerprint])
