"""What users read about a release, and how they check it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from images.release.wanted import Wanted

_TEMPLATE = """\
# llama-operator {version}

{changes}

## Images and chart

| what | by digest |
| --- | --- |
{rows}

## Verify

{verify}

All ways to check, and policies for a cluster, are in docs/verify.md.
"""


def text(wanted: Wanted, changes: str, references: Mapping[str, str]) -> str:
    """The release notes, in Markdown; `references` is what by its name."""
    rows = "\n".join(f"| {name} | `{reference}` |" for name, reference in references.items())
    return _TEMPLATE.format(
        version=wanted.version, changes=changes, rows=rows, verify=_verify(wanted, references)
    )


def _verify(wanted: Wanted, references: Mapping[str, str]) -> str:
    if wanted.keyless:
        return "Signed by the identity of a build service; no key belongs to this release."
    unlogged = "" if wanted.tlog else " --insecure-ignore-tlog"
    lines = [f"    cosign verify --key cosign.pub{unlogged} {each}" for each in references.values()]
    return "\n".join(lines)


def checksums(digests: Mapping[str, str]) -> str:
    """A file for `sha256sum --check`; `digests` is SHA-256 by file name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
