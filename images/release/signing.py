"""Signatures and attestations, by cosign."""

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
        self._run("sign", *self.options(), reference)

    def attest(self, reference: str, kind: str, predicate: Path) -> None:
        """Sign a statement about what a digest names."""
        about = (f"--type={kind}", f"--predicate={predicate}")
        self._run("attest", *self.options(), *about, reference)

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
        key = [] if self.wanted.keyless else [f"--key={self.wanted.key}"]
        return ["--yes", *key, *([] if self.wanted.tlog else [f"--signing-config={self._alone()}"])]

    def _alone(self) -> Path:
        file = self.directory / "signing-config.json"
        file.write_text(json.dumps(ALONE))
        return file

    def _run(self, *words: str) -> str:
        return run([self.program, *words])
