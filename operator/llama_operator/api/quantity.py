"""Kubernetes quantities, read and written in the API server's canonical form.

What we send must equal what the server stores, or the drift check would see a difference
that is only spelling ("1024Mi" against "1Gi") and write for ever.
"""

from __future__ import annotations

import re
from decimal import Decimal

from llama_operator.api.errors import LlamaError

_FORM = re.compile(
    r"^([+-]?[0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?[0-9]+)?$"
)
_BINARY = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}

MIB = 1 << 20
GIB = 1 << 30


def parse(text: str | int | float, field: str = "quantity") -> Decimal:
    """The exact value of a quantity in its base unit (bytes, cores, items).

    Raises LlamaError when the text is not a quantity.
    """
    match = _FORM.match(str(text).strip())
    if match is None:
        raise LlamaError(
            f"{text!r} is not a quantity",
            field=field,
            fix="Write a number with a unit, such as 80Gi",
        )
    return Decimal(match[1]) * _scale(match[2] or "")


def _scale(suffix: str) -> Decimal:
    if suffix in _BINARY:
        return Decimal(1024) ** (_BINARY.index(suffix) + 1)
    if suffix in _DECIMAL:
        return Decimal(10) ** _DECIMAL[suffix]
    return Decimal(f"1{suffix}") if suffix else Decimal(1)


def parse_bytes(text: str | int | float, field: str = "quantity") -> int:
    """A quantity of bytes, rounded up to whole bytes."""
    return int(parse(text, field).to_integral_value(rounding="ROUND_CEILING"))


def format_bytes(value: int, step: int = MIB) -> str:
    """Bytes rounded up to a step (default 1 MiB), with the largest binary suffix that divides."""
    rounded = -(-value // step) * step
    best = str(rounded)
    for power, suffix in enumerate(_BINARY, start=1):
        if rounded and rounded % (1024**power) == 0:
            best = f"{rounded // 1024**power}{suffix}"
    return best


def format_cpu(millis: int) -> str:
    """Thousandths of a core in canonical form: "2" for 2000, "1500m" for 1500."""
    return str(millis // 1000) if millis % 1000 == 0 else f"{millis}m"


def human_bytes(value: int) -> str:
    """Bytes for people: "16.1 GB" (powers of ten, as download sizes are given)."""
    size = float(value)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str, field: str = "duration") -> float:
    """Seconds of a duration such as "90s", "10m" or "1h30m".

    Raises LlamaError when the text is not a duration.
    """
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise LlamaError(
            f"{text!r} is not a duration",
            field=field,
            fix="Write a duration such as 60s, 10m or 24h",
        )
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
