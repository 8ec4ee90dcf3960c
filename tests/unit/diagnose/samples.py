"""Texts for every branch of every signature, as data: `data/texts/*.txt`.

A file holds `## Cause` headings with samples below; a sample is a line, or several lines between
two blank ones where the cause needs the lines before it. `#` begins a comment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).with_name("data")


@dataclass(frozen=True)
class Sample:
    """Lines of a log, and the cause that they show."""

    cause: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.cause}: {self.lines[-1][:70]}"


def samples() -> list[Sample]:
    """Every text, in the order of the files."""
    return [sample for path in sorted(DATA.glob("texts/*.txt")) for sample in _of(path.read_text())]


def _of(text: str) -> Iterator[Sample]:
    cause = ""
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("# ")]
        if lines and lines[0].startswith("## "):
            cause = lines.pop(0)[3:]
            yield from (Sample(cause, (line,)) for line in lines)
        elif lines:
            yield Sample(cause, tuple(lines))


def branches(pattern: str) -> list[str]:
    """The alternatives of a pattern that are not inside of a group or a class."""
    found, depth, in_class, start, at = [], 0, False, 0, 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
        elif in_class:
            in_class = char != "]" or pattern[at - 1] == "["
        elif char == "[":
            in_class = True
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "|" and depth == 0:
            found.append(pattern[start:at])
            start = at + 1
        at += 1
    return [*found, pattern[start:]]
