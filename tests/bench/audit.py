"""The API server's audit log: who asked what, when it came in and when it was answered.

Times are the API server's own, to the microsecond, so that nothing that looks on takes part.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

WRITES = ("create", "update", "patch", "delete", "deletecollection")


@dataclass(frozen=True, slots=True)
class Request:
    """One request that was answered; of a watch, that it was opened. Times in seconds."""

    came: float
    answered: float
    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int

    @property
    def write(self) -> bool:
        """Whether it may have changed something."""
        return self.verb in WRITES

    @property
    def made(self) -> bool:
        """Whether it is a write that was carried out."""
        return self.write and self.code < 300

    @property
    def lease(self) -> bool:
        """Whether it is about leadership."""
        return self.resource == "leases"


class AuditLog:
    """Reads what was added since the last time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Request]:
        """New requests, in the order in which they were answered; a line in the making waits."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._offset += len(whole)
        events = (json.loads(line) for line in whole.splitlines())
        return [_request(event) for event in events if _told(event)]


def _told(event: dict[str, Any]) -> bool:
    # A watch is told when it is opened; its end, minutes later, is no request.
    end = "ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"
    return bool(event["stage"] == end)


def _request(event: dict[str, Any]) -> Request:
    about = event.get("objectRef", {})
    kind = "/".join(filter(None, (about.get("resource", ""), about.get("subresource", ""))))
    return Request(
        came=_seconds(event["requestReceivedTimestamp"]),
        answered=_seconds(event["stageTimestamp"]),
        user=event["user"].get("username", ""),
        verb=event["verb"],
        resource=kind,
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
    )


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
