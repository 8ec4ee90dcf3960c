"""How cosign, crane and gpg are spoken to, by programs that write down what they were told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from images.release import pgp
from images.release.registry import Registry
from images.release.signing import Signer
from images.release.wanted import Wanted
from tests.support.cluster.errors import ClusterError

DIGEST = "sha256:" + "d" * 64
LISTING = """\
sec:u:3072:1:0123456789ABCDEF:1795000000:::u:::scESC:::+:::23::0:
fpr:::::::::AAAA0123456789ABCDEF:
grp:::::::::BBBB:
uid:u::::1795000000::CCCC::A Maintainer <a@example.com>::::::::::0:
ssb:u:3072:1:1111111111111111:1795000000::::::e:::+:::23:
fpr:::::::::DDDD:
"""


def program(directory: Path, body: str) -> str:
    file = directory / "program"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return str(file)


def told(directory: Path, wanted: Wanted) -> tuple[list[str], list[str]]:
    """The words of both calls for one signature."""
    said = directory / "said"
    signer = Signer(program(directory, f'echo "$@" >> {said}'), wanted, directory)
    signer.sign("r/x@sha256:1")
    bundle, former = said.read_text().splitlines()
    said.unlink()
    return bundle.split(), former.split()


def test_a_key_signs_alone_unless_the_log_is_wanted(tmp_path: Path) -> None:
    config = tmp_path / "signing-config.json"
    bundle, former = told(tmp_path, Wanted("1", "r", "k.key", "b"))
    assert bundle == ["sign", "--yes", "--key=k.key", f"--signing-config={config}", "r/x@sha256:1"]
    assert set(json.loads(config.read_text())) == {"mediaType"}, "no service is named"
    assert {"--key=k.key", "--new-bundle-format=false", "--tlog-upload=false"} <= set(former)
    bundle, former = told(tmp_path, Wanted("1", "r", "k.key", "b", tlog=True))
    assert bundle == ["sign", "--yes", "--key=k.key", "r/x@sha256:1"]
    assert "--tlog-upload=true" in former


def test_an_identity_signs_without_a_key(tmp_path: Path) -> None:
    bundle, former = told(tmp_path, Wanted("1", "r", "keyless", "b", tlog=True))
    assert bundle == ["sign", "--yes", "r/x@sha256:1"]
    assert not [word for word in former if word.startswith("--key")]


@pytest.mark.parametrize(
    "said", ["MANIFEST_UNKNOWN: manifest unknown", "NAME_UNKNOWN: no repository", "404 Not Found"]
)
def test_a_name_is_free_only_where_the_registry_says_so(tmp_path: Path, said: str) -> None:
    registry = Registry(program(tmp_path, f"echo '{said}' >&2; exit 1"))
    assert registry.digest("r/x:1") == ""
    assert registry.manifest("r/x:1") == {}


@pytest.mark.parametrize("said", ["UNAUTHORIZED: authentication required", "connection refused"])
def test_a_registry_that_does_not_answer_is_no_free_name(tmp_path: Path, said: str) -> None:
    registry = Registry(program(tmp_path, f"echo '{said}' >&2; exit 1"))
    with pytest.raises(ClusterError, match=f"r/x:1 failed: {said}"):
        registry.digest("r/x:1")


def test_the_key_of_the_chart_is_found_by_fingerprint_and_owner() -> None:
    assert pgp.parsed(LISTING) == pgp.Key("AAAA0123456789ABCDEF", "A Maintainer <a@example.com>")
    assert pgp.parsed("") is None
