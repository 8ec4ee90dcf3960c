"""The entries of a Secret with API keys: each is a key, and some only until a time. Pure.

A key that was rotated out stays as `NAME.old-until-20261126T201500Z`. The guard before the engine
reads the time in the name, so an old key ends by itself, and no command has to wait for it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from llamactl.errors import BadValueError

DEFAULT = "default"
_OLD = re.compile(r"(.+)\.old-until-(\d{8}T\d{6}Z)")
_STAMP = "%Y%m%dT%H%M%SZ"
# What Kubernetes takes as an entry's name, with room for the time.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True)
class Entry:
    """An entry; `until` is when an old key ends, None for one that has no end."""

    name: str
    key: str = field(repr=False)
    of: str
    until: datetime | None = None

    def counts(self, now: datetime) -> bool:
        """Whether servers take it."""
        return bool(self.key) and (self.until is None or now < self.until)

    def told(self, now: datetime) -> str:
        """Until when it counts, in words."""
        if not self.key:
            return "empty"
        if self.until is None:
            return "counts"
        return f"{'until' if self.counts(now) else 'ended'} {clock(self.until)}"


def read(secret: Mapping[str, Mapping[str, str]]) -> list[Entry]:
    """The entries of a Secret, by name."""
    return [_entry(name, text) for name, text in sorted((secret.get("data") or {}).items())]


def old_name(name: str, until: datetime) -> str:
    """Name of the entry that keeps the old key of `name` for a while."""
    return f"{name}.old-until-{until.astimezone(UTC).strftime(_STAMP)}"


def chosen(entries: Iterable[Entry], now: datetime) -> Entry | None:
    """The key to send: `default`, else the first that has no end."""
    lasting = [each for each in entries if each.until is None and each.counts(now)]
    return min(lasting, key=lambda each: each.name != DEFAULT, default=None)


def check_name(name: str) -> str:
    """The name, if an entry may have it. Raises BadValueError."""
    if not _NAME.fullmatch(name) or ".old" in name:
        raise BadValueError(
            f"{name!r} cannot be the name of a key: it begins with a letter, digit, - or _, has at most "
            "200 of these and dots, and no '.old'",
            fix="It is the label of the key's metrics: take the name of a team or a client, such as team-a",
        )
    return name


def clock(moment: datetime) -> str:
    """2026-11-26 20:15 UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _entry(name: str, text: str) -> Entry:
    key = base64.b64decode(text).decode(errors="replace").strip()
    old = _OLD.fullmatch(name)
    return Entry(name, key, old[1], parse(old[2])) if old else Entry(name, key, name)


def parse(stamp: str) -> datetime:
    """The time that an entry's name ends with."""
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:  # no such day: the guard takes it as over, and so does this
        return datetime.min.replace(tzinfo=UTC)
