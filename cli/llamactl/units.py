"""Numbers as people read them: bytes, speeds, ages and spans of time."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_RATE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([kKMGT]?)(i?)(bits?|b|B)(?:/s|ps)?")
_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def parse_duration(text: str) -> float | None:
    """Seconds of "7d", "1h30m", "90s" or "90"; None where the text is no span of time."""
    text = text.strip()
    if text.replace(".", "", 1).isdigit() and text.isascii():
        return float(text)
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


def parse_rate(text: str) -> float | None:
    """Bytes per second of "1Gbit", "10Gbps", "125MB/s" or "1GiB/s"; None where it is no speed.

    A small b is a bit, a large B a byte.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None or not float(match[1]):
        return None
    power = " kMGT".index(match[2].replace("K", "k") or " ")
    scale: int = (1024 if match[3] else 1000) ** power
    return float(match[1]) * scale / (1 if match[4] == "B" else 8)


def rate_text(speed: float) -> str:
    """Bytes per second in the largest decimal unit that gives at least 1: 125 MB/s."""
    for unit, size in (("TB/s", 1e12), ("GB/s", 1e9), ("MB/s", 1e6), ("kB/s", 1e3)):
        if speed >= size:
            return f"{speed / size:.3g} {unit}"
    return f"{speed:.3g} B/s"


def duration(seconds: float) -> str:
    """The two largest units of a span: 5s, 3m20s, 2h05m, 3d4h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def bytes_text(count: float) -> str:
    """Bytes in the largest binary unit that gives at least 1: 15.0 GiB."""
    value = float(count)
    for unit in _BYTE_UNITS:
        if abs(value) < 1024 or unit == _BYTE_UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("the last unit takes every value")


def parse_time(text: str) -> datetime | None:
    """An RFC 3339 time of Kubernetes; None where there is none."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
    except ValueError:
        return None


def age(timestamp: str, now: datetime | None = None) -> str:
    """How long ago a Kubernetes timestamp was; "?" where it is missing."""
    then = parse_time(timestamp)
    if then is None:
        return "?"
    return duration(((now or datetime.now(UTC)) - then).total_seconds())
