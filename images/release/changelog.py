"""The part of CHANGELOG.md that is about one version. Pure."""

from __future__ import annotations

import re

_HEADING = re.compile(r"^## \[?(?P<version>[^\]\s]+)\]?.*$", re.MULTILINE)


def section(text: str, version: str) -> str:
    """What stands under the heading of a version; "" where there is none, or nothing under it."""
    found = list(_HEADING.finditer(text))
    ends = [each.start() for each in found[1:]] + [len(text)]
    for heading, end in zip(found, ends, strict=True):
        if heading["version"] == version:
            return text[heading.end() : end].strip()
    return ""
