"""What a release needs on a machine without the internet: a base in a registry, a tree, and keys."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from images.release.running import run

from tests.support.cluster import paths, tools
from tests.support.images import architecture, builders
from tests.support.images import base as debian_base

PASSWORD = "only for this test"
OWNER = "Release Test <release@example.com>"


def base(host: str, directory: Path) -> str:
    """An index of Debian bases for each architecture, in a registry; by its digest."""
    builder = builders.find("buildah")
    crane = str(tools.path_of("crane"))
    named = []
    for each in architecture.ALL:
        made = debian_base.ensure(each) / "rootfs.tar"
        tag = f"{host}/base:{each.name}"
        container = builder.run("from", "--arch", each.name, "scratch").strip()
        try:
            builder.run("add", "-q", container, str(made), "/")
            builder.run("config", "--arch", each.name, container)
            builder.run("commit", "-q", "--timestamp", "0", container, tag)
        finally:
            builder.run("rm", container)
        builder.run("push", "--tls-verify=false", tag, f"docker://{tag}")
        builder.run("rmi", tag)
        named += ["-m", tag]
    run([crane, "index", "append", "-t", f"{host}/base:both", *named], directory=directory)
    return f"{host}/base@" + run([crane, "digest", f"{host}/base:both"]).strip()


def tree(directory: Path, version: str) -> Path:
    """This very tree as a commit of its own, with a section for `version` in its changelog."""
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"]).splitlines()
    for name in listed:
        if (paths.PROJECT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(paths.PROJECT / name, directory / name)
    changes = directory / "CHANGELOG.md"
    heading = f"## Unreleased\n\n## {version} - 2026-01-01\n"
    changes.write_text(changes.read_text().replace("## Unreleased\n", heading, 1))
    who = {f"GIT_{role}_{what}": "x@example.com" for role in ("AUTHOR", "COMMITTER")
           for what in ("NAME", "EMAIL")}  # fmt: skip
    when = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00Z")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Release"]):
        run(["git", "-c", "commit.gpgsign=false", *words], directory=directory, env=who | when)
    return directory


@dataclass(frozen=True)
class Keys:
    """A key pair of cosign and one of PGP, made for a test, in a directory of their own."""

    directory: Path

    @property
    def private(self) -> Path:
        """Cosign's."""
        return self.directory / "cosign.key"

    @property
    def public(self) -> Path:
        """What users verify with."""
        return self.directory / "cosign.pub"

    @property
    def passphrase(self) -> Path:
        """A file with that of the PGP key."""
        return self.directory / "passphrase"

    @property
    def env(self) -> Mapping[str, str]:
        """Where they are, and what opens cosign's."""
        return {"COSIGN_PASSWORD": PASSWORD, "GNUPGHOME": str(self.directory / "gnupg")}


def keys(directory: Path) -> Keys:
    """New ones."""
    made = Keys(directory)
    home = Path(made.env["GNUPGHOME"])
    home.mkdir(parents=True, mode=0o700)
    made.passphrase.write_text(PASSWORD)
    cosign = str(tools.path_of("cosign"))
    run([cosign, "generate-key-pair"], directory=directory, env=made.env)
    unlock = ("--pinentry-mode", "loopback", "--passphrase-file", str(made.passphrase))
    run(["gpg", "--batch", *unlock, "--quick-generate-key", OWNER, "rsa2048", "sign", "1d"],
        directory=directory, env=made.env)  # fmt: skip
    return made


def forget(made: Keys) -> None:
    """End the agent that gpg started for the keys."""
    subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, **made.env}, check=False)
