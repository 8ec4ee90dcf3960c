"""Why a release is refused: each reason by its field, its value and the fix, all at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from images.release import refusals
from images.release.refusals import Refusal, of_tag
from images.release.wanted import Facts, Wanted, loopback

PINNED = "docker.io/library/python:3.11@sha256:" + "a" * 64
WANTED = Wanted("1.2.3", "registry.example.com/team", "cosign.key", PINNED)
FACTS = Facts(
    versions={"pyproject.toml": "1.2.3", "Chart.yaml (version)": "1.2.3"},
    changelog="# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2026-01-01\n\n### Added\n- a thing\n",
    dirty=(),
    revision="c" * 40,
    source="https://example.com/llama.git",
    epoch=1_700_000_000,
)
PGP: dict[str, Any] = {"pgp_key": "me@example.com", "pgp_url": "https://example.com/key.asc"}


def refused(wanted: dict[str, Any], facts: dict[str, Any]) -> list[Refusal]:
    return refusals.refusals(replace(WANTED, **wanted), replace(FACTS, **facts))


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        PGP,
        {"key": "awskms:///alias/release"},
        {"key": "keyless", "tlog": True},
        {"registry": "localhost:5000"},
    ],
    ids=str,
)
def test_what_is_whole_is_released(wanted: dict[str, Any]) -> None:
    assert refused(wanted, {}) == []


@pytest.mark.parametrize(
    ("wanted", "facts", "field", "parts"),
    [
        ({"version": ""}, {}, "VERSION", ("=nothing", "make release VERSION=1.2.3")),
        ({"version": "latest"}, {}, "VERSION", ("=latest", "no version such as")),
        ({}, {"versions": {"Chart.yaml (version)": "1.2.2"}}, "VERSION",
         ("=1.2.3", "Chart.yaml (version) says 1.2.2", "Set it to 1.2.3")),
        ({}, {"changelog": "## Unreleased\n- a thing\n"}, "VERSION",
         ("no section `## 1.2.3`", "`## Unreleased`")),
        ({}, {"changelog": "## 1.2.3\n\n## 1.2.2\n- old\n"}, "VERSION", ("with something in it",)),
        ({}, {"dirty": ("a", "b", "c", "d")}, "tree", ("=a, b, c ...", "Commit or stash")),
        ({"registry": ""}, {}, "REGISTRY", ("=nothing", "REGISTRY=registry.example.com/team")),
        ({"registry": "https://x"}, {}, "REGISTRY", ("=https://x",)),
        ({"registry": "x.example/Team"}, {}, "REGISTRY", ("small letters",)),
        ({"key": ""}, {}, "COSIGN_KEY", ("nothing would be signed", "cosign generate-key-pair")),
        ({}, {"key_found": False}, "COSIGN_KEY", ("=cosign.key", "no such file")),
        ({"key": "keyless"}, {}, "TLOG", ("Set TLOG=1",)),
        (PGP, {"pgp_found": False}, "PGP_KEY", ("=me@example.com", "gpg --list-secret-keys")),
        (PGP | {"pgp_url": ""}, {}, "PGP_URL", ("=nothing", "https address")),
        (PGP | {"pgp_url": "http://x"}, {}, "PGP_URL", ("=http://x",)),
        ({"base": "python:3.11"}, {}, "BASE", ("=python:3.11", "not pinned", "@sha256:")),
    ],
    ids=str,
)  # fmt: skip
def test_a_reason_names_field_value_and_fix(
    wanted: dict[str, Any], facts: dict[str, Any], field: str, parts: tuple[str, ...]
) -> None:
    found = refused(wanted, facts)
    (reason,) = [each for each in found if each.field == field][:1]
    said = str(reason)
    assert said.startswith(f"{field}=")
    assert all(part in said for part in parts), said
    assert reason.fix


def test_all_reasons_are_told_at_once() -> None:
    found = refused({"registry": "", "key": "", "base": "x"}, {"dirty": ("a",)})
    assert [each.field for each in found] == ["tree", "REGISTRY", "COSIGN_KEY", "BASE"]


def test_a_tag_moves_to_nothing_else() -> None:
    assert of_tag("r/x:1", "", "sha256:a") is None
    assert of_tag("r/x:1", "sha256:a", "sha256:a") is None
    taken = str(of_tag("r/x:1", "sha256:a", "sha256:b"))
    assert "VERSION=r/x:1: it is sha256:a" in taken
    assert "Release another version" in taken


def test_only_this_machine_needs_no_tls() -> None:
    assert all(loopback(each) for each in ("localhost:5000/x", "127.0.0.1:5000", "localhost"))
    others = ("localhost.example.com/x", "127.example.com", "registry.example.com/localhost")
    assert not any(loopback(each) for each in others)
