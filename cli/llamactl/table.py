"""Tables that fit: 100 columns at most, down to 60 and less without losing a name.

Columns give way in a fixed order: first the optional ones go, then long text is wrapped or
shortened. A column that names an object is never cut, since people paste it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import click

GAP = "   "


@dataclass(frozen=True)
class Column:
    """A column: `optional` may go when space is short, `wrap` may use several lines."""

    title: str
    optional: bool = False
    wrap: bool = False
    right: bool = False
    least: int = 8


def render(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> str:
    """The table as text, no line longer than `width` where names allow it."""
    kept = _kept(columns, rows, width)
    chosen = [columns[i] for i in kept]
    cells = [[str(row[i]) for i in kept] for row in rows]
    widths = _widths(chosen, cells, width)
    lines = _row(chosen, widths, [c.title for c in chosen])
    for row in cells:
        lines += _row(chosen, widths, row)
    return "\n".join(lines)


def pairs(rows: Sequence[tuple[str, str]], width: int) -> str:
    """Labels and values under each other; values wrap beside their label."""
    left = max((len(label) for label, _ in rows), default=0) + 2
    lines: list[str] = []
    for label, value in rows:
        wrapped = _wrap(value, max(20, width - left))
        lines.append(f"{label + ':':<{left}}{wrapped[0]}".rstrip())
        lines += [" " * left + more for more in wrapped[1:]]
    return "\n".join(lines)


def _length(text: str) -> int:
    return len(click.unstyle(text))


def _natural(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    return [
        max([len(column.title), *(_length(row[i]) for row in cells)])
        for i, column in enumerate(columns)
    ]


def _floor(column: Column, natural: int) -> int:
    return min(natural, column.least) if column.wrap else natural


def _kept(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    natural = _natural(columns, rows)
    kept = list(range(len(columns)))
    for i in reversed(range(len(columns))):
        least = sum(_floor(columns[k], natural[k]) for k in kept) + len(GAP) * (len(kept) - 1)
        if least <= width:
            break
        if columns[i].optional:
            kept.remove(i)
    return kept


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    widths = _natural(columns, cells)
    excess = sum(widths) + len(GAP) * (len(columns) - 1) - width
    while excess > 0:
        flexible = [i for i, c in enumerate(columns) if c.wrap and widths[i] > c.least]
        if not flexible:
            break
        widest = max(flexible, key=lambda i: widths[i])
        widths[widest] -= 1
        excess -= 1
    return widths


def _row(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> list[str]:
    parts = [
        _wrap(cell, width) if column.wrap else [cell]
        for column, width, cell in zip(columns, widths, row, strict=True)
    ]
    height = max(len(part) for part in parts)
    return [
        _line(columns, widths, [part[i] if i < len(part) else "" for part in parts])
        for i in range(height)
    ]


def _line(columns: Sequence[Column], widths: Sequence[int], cells: Sequence[str]) -> str:
    padded = []
    for column, width, cell in zip(columns, widths, cells, strict=True):
        space = " " * (width - _length(cell))
        padded.append(space + cell if column.right else cell + space)
    return GAP.join(padded).rstrip()


def _wrap(text: str, width: int) -> list[str]:
    lines = [
        line
        for paragraph in text.splitlines()
        for line in textwrap.wrap(paragraph, width, break_on_hyphens=False) or [""]
    ]
    return lines or [""]
