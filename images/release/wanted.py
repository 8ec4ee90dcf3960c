"""What a maintainer asks for, what the tree says, and the names that follow from it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

CHART = "llama-operator"
KEYLESS = "keyless"
# Who made it, where nobody names a build service.
BUILDER_ID = "https://llamactl.dev/builders/maintainer"
_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+)(:[0-9]+)?(/|$)")


@dataclass(frozen=True)
class Wanted:
    """The arguments of `make release`."""

    version: str
    registry: str
    key: str
    base: str
    tlog: bool = False
    pgp_key: str = ""
    pgp_url: str = ""
    pgp_passphrase_file: str = ""
    builder_id: str = BUILDER_ID

    def image(self, target: str) -> str:
        """Repository of an image."""
        return f"{self.registry}/llama-{target}"

    @property
    def chart(self) -> str:
        """Repository of the chart; apart, as an image of the operator has the same last name."""
        return f"{self.registry}/charts/{CHART}"

    @property
    def keyless(self) -> bool:
        """Whether an identity of a build service signs, and no key."""
        return self.key == KEYLESS


@dataclass(frozen=True)
class Facts:
    """What is so, before anything is done. `versions` is by the place that names one."""

    versions: Mapping[str, str]
    changelog: str
    dirty: tuple[str, ...]
    revision: str
    source: str
    epoch: int
    key_found: bool = True
    pgp_found: bool = True


def loopback(reference: str) -> bool:
    """Whether a registry is this machine: as with docker, it needs no TLS then."""
    return bool(_LOOPBACK.match(reference))
