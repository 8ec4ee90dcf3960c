"""What the emulator saw: every request, with the bytes that really left."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Request:
    """One request; `authorization` is the header as it arrived, "" where there was none."""

    place: str
    method: str
    host: str
    path: str
    name: str
    range: str
    authorization: str
    status: int = 0
    sent: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For the HTTP listing of requests."""
        return asdict(self)
