"""What a lock of uv says: names, versions, hashes."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BLOCK = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Locked:
    """One package; `text` is its part of the lock, hashes and all."""

    name: str
    version: str
    text: str

    @property
    def hashes(self) -> frozenset[str]:
        """SHA-256 of each file that may be installed."""
        return frozenset(_HASH.findall(self.text))


def read(text: str) -> list[Locked]:
    """Every package of a lock, in its order."""
    found = list(_BLOCK.finditer(text))
    ends = [each.start() for each in found[1:]] + [len(text)]
    return [
        Locked(each["name"], each["version"], text[each.start() : end])
        for each, end in zip(found, ends, strict=True)
    ]
