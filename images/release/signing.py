"""Signatures and attestations, by cosign, in two formats.

Cosign 3 keeps a bundle as a referrer of what it signs. Policy-controller 0.13 takes a bundle only from an
identity, and other policy engines are no further, so all is signed in cosign 2's format as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from images.release.running import run
from images.release.wanted import Wanted

# Names no transparency log, no authority of time and none of certificates: the key alone signs.
ALONE = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}


@dataclass(frozen=True)
class Signer:
    """`program` is cosign; the key's password is in COSIGN_PASSWORD, as ever."""

    program: str
    wanted: Wanted
    directory: Path

    def sign(self, reference: str) -> None:
        """Sign what a digest names."""
        for options in (self.options(), self.former()):
            self._run("sign", *options, reference)

    def attest(self, reference: str, kind: str, predicate: Path) -> None:
        """Sign a statement about what a digest names."""
        about = (f"--type={kind}", f"--predicate={predicate}")
        for options in (self.options(), self.former()):
            self._run("attest", *options, *about, reference)

    def sign_file(self, file: Path, bundle: Path) -> None:
        """Sign a file; the signature is a file beside it."""
        self._run("sign-blob", *self.options(), f"--bundle={bundle}", str(file))

    def public(self) -> str:
        """The public half of the key; "" where an identity signs."""
        return "" if self.wanted.keyless else self._run("public-key", f"--key={self.wanted.key}")

    def check(self, reference: str, key: Path) -> None:
        """Verify as a user would; raises ClusterError."""
        unlogged = () if self.wanted.tlog else ("--insecure-ignore-tlog",)
        self._run("verify", f"--key={key}", *unlogged, reference)

    def options(self) -> list[str]:
        """Of all that signs."""
        services = [] if self.wanted.tlog else [f"--signing-config={self._alone()}"]
        return ["--yes", *self._key(), *services]

    def former(self) -> list[str]:
        """Of all that signs in cosign 2's format, which knows no file of services."""
        log = str(self.wanted.tlog).lower()
        services = ["--use-signing-config=false", f"--tlog-upload={log}"]
        return ["--yes", *self._key(), "--new-bundle-format=false", *services]

    def _key(self) -> list[str]:
        return [] if self.wanted.keyless else [f"--key={self.wanted.key}"]

    def _alone(self) -> Path:
        file = self.directory / "signing-config.json"
        file.write_text(json.dumps(ALONE))
        return file

    def _run(self, *words: str) -> str:
        return run([self.program, *words])
