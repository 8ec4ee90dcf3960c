"""Typed reading of a catalogue file: every value is checked, and a wrong one named by its path."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from llama_operator.api.errors import UsageError

Object = dict[str, Any]
_LARGEST: Final = 1 << 53
_LONGEST: Final = 4096


class Fields:
    """A mapping of a file; `where` is its path, such as "models[2].hf".

    Every method raises UsageError with the path of the field that is wrong.
    """

    def __init__(self, raw: Any, where: str, known: Collection[str]) -> None:
        self.raw = mapping(raw, where)
        self.where = where
        for key in self.raw:
            if key not in known:
                raise UsageError(
                    "is not a field of the catalogue",
                    field=f"{where}.{key}",
                    fix=f"Known are {', '.join(sorted(known))}",
                )

    def __contains__(self, key: str) -> bool:
        return key in self.raw

    def wrong(self, key: str, fix: str) -> UsageError:
        """The refusal of a field's value."""
        shown = repr(self.raw.get(key))[:80]
        return UsageError(f"{shown} is not valid", field=f"{self.where}.{key}", fix=fix)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; `default` where it is left out, else it is required."""
        value = self.raw.get(key, default)
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise self.wrong(key, "Write a text")
        return value

    def one_of(self, key: str, known: Iterable[str], default: str) -> str:
        """A text that is among `known`, or `default`."""
        value = self.text(key, default)
        if value != default and value not in known:
            raise self.wrong(key, f"One of {', '.join(known)}")
        return value

    def number(self, key: str) -> int:
        """A positive whole number."""
        value = self.raw.get(key)
        if type(value) is not int or not 0 < value < _LARGEST:
            raise self.wrong(key, "Write a positive whole number")
        return value

    def count(self, key: str) -> int | None:
        """A positive whole number, or None where it is left out or null."""
        return None if self.raw.get(key) is None else self.number(key)

    def amount(self, key: str) -> float:
        """A positive number."""
        value = self.raw.get(key)
        sound = isinstance(value, int | float) and not isinstance(value, bool)
        if not sound or not 0 < value < _LARGEST:  # type: ignore[operator]
            raise self.wrong(key, "Write a positive number")
        return float(value)  # type: ignore[arg-type]

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.raw.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "Write true or false")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty where it is left out."""
        value = self.raw.get(key, ())
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            raise self.wrong(key, "Write a list of texts")
        return tuple(value)

    def amounts(self, key: str) -> dict[str, float]:
        """A mapping of names to numbers; empty where it is left out."""
        found = mapping(self.raw.get(key, {}), f"{self.where}.{key}")
        for name, value in found.items():
            sound = isinstance(name, str) and type(value) in (int, float) and abs(value) < _LARGEST
            if not sound or math.isnan(value):
                raise self.wrong(key, "Write `name: number` pairs")
        return found


def mapping(raw: Any, where: str) -> Object:
    """`raw` as a mapping of texts. Raises UsageError."""
    if not isinstance(raw, Mapping) or not all(isinstance(key, str) for key in raw):
        raise UsageError(
            f"is {type(raw).__name__}, not a mapping", field=where, fix="Write `key: value` pairs"
        )
    return dict(raw)
