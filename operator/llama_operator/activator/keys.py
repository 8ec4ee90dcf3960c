"""The API keys of a deployment, as files of a mounted Secret: who may start a GPU.

The server judges every request that reaches it. Here a key is only asked for while there is no
server, so that a stranger cannot bring one about.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path

# The kubelet brings a changed Secret within about a minute; to read it more often finds nothing.
FRESH_SECONDS = 1.0


class Keys:
    """Every entry of the Secret is a key; without a directory everybody may ask."""

    def __init__(self, directory: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory, self._clock = directory, clock
        self._read_at = -FRESH_SECONDS
        self._hashes: list[bytes] = []

    def admit(self, authorization: str) -> bool:
        """Whether this header carries one of the keys; all are compared, so that time tells none."""
        if self._directory is None:
            return True
        scheme, _, token = authorization.partition(" ")
        given = _hash(token.strip().encode())
        found = [hmac.compare_digest(given, each) for each in self._known()]
        return scheme.lower() == "bearer" and any(found)

    def _known(self) -> list[bytes]:
        now = self._clock()
        if now - self._read_at >= FRESH_SECONDS:
            self._hashes, self._read_at = _read(self._directory), now
        return self._hashes


def _read(directory: Path | None) -> list[bytes]:
    try:
        # The kubelet's own entries (..data and what it points to) start with a dot.
        files = [each for each in (directory or Path()).iterdir() if not each.name.startswith(".")]
        values = [each.read_bytes().strip() for each in files]
    except OSError:
        return []
    return [_hash(value) for value in values if value]


def _hash(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
