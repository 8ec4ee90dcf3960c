"""What images call an architecture, and what wheels do."""

from __future__ import annotations

import platform
from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """`name` is that of images and of Debian, `machine` that of the kernel and of wheels."""

    name: str
    machine: str

    @property
    def platform(self) -> str:
        """As builders are told it."""
        return f"linux/{self.name}"

    @property
    def wheels(self) -> str:
        """As uv is told which wheels fit; the same C library as `context` downloads for."""
        return f"{self.machine}-manylinux_2_28"


AMD64 = Architecture("amd64", "x86_64")
ARM64 = Architecture("arm64", "aarch64")
ALL = (AMD64, ARM64)


def own() -> Architecture:
    """That of this machine."""
    machine = platform.machine()  # macOS says arm64 where Linux says aarch64
    return next((each for each in ALL if machine in (each.machine, each.name)), AMD64)
