"""Why a release is refused, all reasons at once, before anything is built. Pure.

Each names the field, its value and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from images.release import changelog
from images.release.wanted import Facts, Wanted

_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?")
_REGISTRY = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9]+([._/-]+[a-z0-9]+)*)?")
_PINNED = re.compile(r".+@sha256:[0-9a-f]{64}")
_SHOWN = 3


@dataclass(frozen=True)
class Refusal:
    """One reason."""

    field: str
    value: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.field}={self.value or 'nothing'}: {self.problem}. {self.fix}"


class Refused(Exception):  # noqa: N818 - what was decided, not what went wrong
    """The release is not made; nothing was pushed."""

    def __init__(self, *refusals: Refusal) -> None:
        super().__init__("\n".join(map(str, refusals)))


def refusals(wanted: Wanted, facts: Facts) -> list[Refusal]:
    """Every reason; none where the release may be made."""
    return [found for check in _CHECKS if (found := check(wanted, facts))]


def of_tag(reference: str, there: str, built: str) -> Refusal | None:
    """A tag that is in use for something else."""
    if there in ("", built):
        return None
    problem = f"it is {there} in the registry, and this commit makes {built}"
    return Refusal("VERSION", reference, problem, "Release another version: tags are never moved")


def _version(wanted: Wanted, _: Facts) -> Refusal | None:
    if _VERSION.fullmatch(wanted.version):
        return None
    fix = "Name it: make release VERSION=1.2.3 REGISTRY=registry.example.com/team COSIGN_KEY=cosign.key"
    return Refusal("VERSION", wanted.version, "it is no version such as 1.2.3", fix)


def _same(wanted: Wanted, facts: Facts) -> Refusal | None:
    other = [
        f"{place} says {has}" for place, has in facts.versions.items() if has != wanted.version
    ]
    fix = f"Set it to {wanted.version} there, or release what is there"
    return Refusal("VERSION", wanted.version, ", ".join(other), fix) if other else None


def _noted(wanted: Wanted, facts: Facts) -> Refusal | None:
    if changelog.section(facts.changelog, wanted.version):
        return None
    problem = f"CHANGELOG.md has no section `## {wanted.version}` with something in it"
    return Refusal("VERSION", wanted.version, problem, "Put what is under `## Unreleased` into it")


def _clean(_: Wanted, facts: Facts) -> Refusal | None:
    if not facts.dirty:
        return None
    shown = ", ".join(facts.dirty[:_SHOWN]) + (" ..." if len(facts.dirty) > _SHOWN else "")
    return Refusal("tree", shown, "not committed", "Commit or stash it: a release is of a commit")


def _registry(wanted: Wanted, _: Facts) -> Refusal | None:
    if _REGISTRY.fullmatch(wanted.registry):
        return None
    fix = "Name host and path in small letters, such as REGISTRY=registry.example.com/team"
    return Refusal("REGISTRY", wanted.registry, "it is no place for images", fix)


def _key(wanted: Wanted, facts: Facts) -> Refusal | None:
    if wanted.key and facts.key_found:
        return None
    problem = "there is no such file" if wanted.key else "nothing would be signed"
    fix = (
        "Make one with `cosign generate-key-pair`, name one of a KMS (awskms://, gcpkms://, azurekms://, "
        "hashivault://), or COSIGN_KEY=keyless in a CI with an identity"
    )
    return Refusal("COSIGN_KEY", wanted.key, problem, fix)


def _keyless(wanted: Wanted, _: Facts) -> Refusal | None:
    if wanted.tlog or not wanted.keyless:
        return None
    problem = "a keyless signature can be verified by its entry in the log only"
    return Refusal("TLOG", "", problem, "Set TLOG=1")


def _pgp(wanted: Wanted, facts: Facts) -> Refusal | None:
    if not wanted.pgp_key:
        return None
    if not facts.pgp_found:
        fix = (
            "`gpg --list-secret-keys` shows those that are; leave it out for a chart without .prov"
        )
        return Refusal("PGP_KEY", wanted.pgp_key, "gpg has no such secret key", fix)
    if wanted.pgp_url.startswith("https://"):
        return None
    fix = "Name the https address where its public half is published: users verify by it"
    return Refusal("PGP_URL", wanted.pgp_url, "artifacthub.io/signKey needs an address", fix)


def _base(wanted: Wanted, _: Facts) -> Refusal | None:
    if _PINNED.fullmatch(wanted.base):
        return None
    fix = "Name the digest of an index of both architectures: BASE=python:3.11-slim-bookworm@sha256:..."
    return Refusal("BASE", wanted.base, "it is not pinned", fix)


_CHECKS: tuple[Callable[[Wanted, Facts], Refusal | None], ...] = (
    _version, _same, _noted, _clean, _registry, _key, _keyless, _pgp, _base,
)  # fmt: skip
