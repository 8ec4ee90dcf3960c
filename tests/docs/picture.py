"""The picture of a terminal in the README: `python -m tests.docs.picture` draws it.

It shows commands that need no cluster, and what they say when they are run here and now; a test
compares. Nothing in it is typed by hand but the commands.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from html import escape
from pathlib import Path

from tests.docs.markdown import PROJECT, Command
from tests.docs.running import WIDTH, said

FILE = PROJECT / "docs" / "images" / "terminal.svg"
COLUMNS = int(WIDTH)
# A command, and how many lines of it are shown.
SCENES = (
    ("llamactl plan 70b --gpu H100 --gpus 8", 6),
    ("llamactl plan 70b --gpu H100 --gpus 6", 4),
    ("llamactl doctor --log server.log", 12),
)
CELL, LINE, EDGE = 8.2, 19, 18
_STYLE = (
    "text{font:13.6px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
    "fill:#d6deeb;white-space:pre}.typed{fill:#7fdbca;font-weight:bold}.wrong{fill:#ff6b6b}"
)


def lines() -> list[tuple[str, str]]:
    """Kind and text of every line, as a terminal of this width breaks it."""
    found: list[tuple[str, str]] = []
    for typed, most in SCENES:
        found += [("typed", f"$ {typed}"), *_said(typed, most), ("", "")]
    return found[:-1]


def _said(typed: str, most: int) -> Iterator[tuple[str, str]]:
    output = said(Command("", typed, tuple(shlex.split(typed))))
    rows = [row for line in output.splitlines() for row in _rows(line)]
    for row in rows[:most]:
        yield "wrong" if row.startswith("Error: ") else "", row


def _rows(line: str) -> list[str]:
    return [line[at : at + COLUMNS] for at in range(0, len(line), COLUMNS)] or [""]


def drawn() -> str:
    """The picture as SVG; no font and no script is loaded."""
    rows = lines()
    width, height = int(2 * EDGE + COLUMNS * CELL), 2 * EDGE + LINE * len(rows)
    texts = "\n".join(_text(number, *row) for number, row in enumerate(rows) if row[1])
    words = "Commands in a terminal: " + "; ".join(typed for typed, _ in SCENES)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(words)}">\n<style>{_STYLE}</style>\n'
        f'<rect width="100%" height="100%" rx="8" fill="#11192b"/>\n{texts}\n</svg>\n'
    )


def _text(number: int, kind: str, row: str) -> str:
    place = f'x="{EDGE}" y="{EDGE + LINE * number + 13}"'
    size = f'textLength="{len(row) * CELL:.1f}" lengthAdjust="spacingAndGlyphs"'
    mark = f' class="{kind}"' if kind else ""
    return f'<text {place} {size}{mark} xml:space="preserve">{escape(row, quote=False)}</text>'


def main(file: Path = FILE) -> None:
    """Draw it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(drawn())


if __name__ == "__main__":
    main()
