"""Outputs in the documents: `python -m tests.docs.outputs` writes them anew.

A block of `sh` with one command of ours, and a block without a language right after it: that is the
beginning of what the command says, on stdout, or on stderr where it fails. How much of it is shown is
left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs import markdown
from tests.docs.markdown import Command

_SHOWN = re.compile(r"^```sh\n([^\n]+)\n```\n\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Say = Callable[[Command], str]


@dataclass(frozen=True)
class Shown:
    """A command of a page, what the page says that it says, and where that stands."""

    command: Command
    text: str
    span: tuple[int, int]

    def __str__(self) -> str:
        return str(self.command)


def shown(page: Path) -> Iterator[Shown]:
    """Every command of a page whose output is shown."""
    for match in _SHOWN.finditer(page.read_text()):
        found = list(markdown.commands_of(markdown.name(page), match[1]))
        if len(found) == 1:
            yield Shown(found[0], match[2], match.span(2))


def beginning(output: str, like: str) -> str:
    """As many lines of an output as a page shows."""
    return "".join(output.splitlines(keepends=True)[: like.count("\n")])


def written(page: Path, say: Say) -> str:
    """The page with outputs as they are now."""
    text = page.read_text()
    for each in reversed(list(shown(page))):
        start, end = each.span
        text = text[:start] + beginning(say(each.command), each.text) + text[end:]
    return text


def main() -> None:
    """Write all pages."""
    from tests.docs.running import said

    for page in markdown.pages():
        page.write_text(written(page, said))


if __name__ == "__main__":
    main()
