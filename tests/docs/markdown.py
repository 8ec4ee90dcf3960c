"""What the documents hold: links, code, commands, tables. Only as much Markdown as they use."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PROGRAMS = ("llamactl", "llama-operator", "llama-weights")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_EXIT = re.compile(r"#\s*exit (\d+)")
# Where a command begins (a line, a pipe, a column) and ends (a pipe, a redirection, a gap).
_START = re.compile(rf"(?:^|\| |\$ |\s{{2,}})((?:{'|'.join(PROGRAMS)})(?=\s|$))")
_END = re.compile(r"\s+[|>#]|\s{2,}|\s+<\s|\s*&&")


@dataclass(frozen=True)
class Command:
    """A command line in a document; `words` start with the program, `code` is its exit status."""

    page: str
    text: str
    words: tuple[str, ...]
    code: int = 0

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def pages() -> list[Path]:
    """Every document that is tested."""
    return [
        PROJECT / "README.md",
        PROJECT / "CONTRIBUTING.md",
        *sorted(PROJECT.glob("docs/**/*.md")),
    ]


def name(page: Path) -> str:
    """The page as messages name it."""
    return page.relative_to(PROJECT).as_posix()


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of every code block, fenced or indented."""
    for match in _FENCE.finditer(text):
        yield match[1], match[2]
    for match in _INDENTED.finditer(_FENCE.sub("", text)):
        yield "", match[0]


def spans(text: str) -> list[str]:
    """Every piece of inline code."""
    return _SPAN.findall(_INDENTED.sub("", _FENCE.sub("", text)))


def links(text: str) -> list[str]:
    """Targets of links, outside of code."""
    return _LINK.findall(_SPAN.sub("", _FENCE.sub("", text)))


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def commands(page: Path) -> Iterator[Command]:
    """The command lines of our programs in the code blocks of a page."""
    for language, block in blocks(page.read_text()):
        if language in ("", "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                yield from commands_of(name(page), line.strip())


def commands_of(page: str, line: str) -> Iterator[Command]:
    """The command lines of our programs in one line."""
    exit_code = _EXIT.search(line)
    # Quoted text is hidden while the line is cut, so that a bar or a hash in it ends nothing.
    hidden = re.sub(r"'[^']*'|\"[^\"]*\"", lambda quoted: "q" * len(quoted[0]), line)
    for match in _START.finditer(hidden.split(" #", 1)[0]):
        end = _END.search(hidden, match.end())
        text = line[match.start(1) : end.start() if end else None]
        yield Command(page, text, tuple(shlex.split(text)), int(exit_code[1]) if exit_code else 0)


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    start = text.index(f"\n{heading}\n") + len(heading) + 2
    following = re.search(rf"^#{{1,{level}}} ", text[start:], re.MULTILINE)
    return text[start : start + following.start()] if following else text[start:]


def first_cells(text: str) -> set[str]:
    """The first cell of every row of tables, where it is code."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
