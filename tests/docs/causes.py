"""The table of causes in docs/troubleshooting.md: `python -m tests.docs.causes` writes it anew."""

from __future__ import annotations

from pathlib import Path

from tests.docs.markdown import PROJECT

from llama_operator.diagnose.causes import CAUSES

PAGE = PROJECT / "docs" / "troubleshooting.md"
HEADING = "#### Causes that doctor knows"
HEAD = "| cause | meaning | fix |\n| --- | --- | --- |\n"


def table() -> str:
    """The table, a row for each cause."""
    rows = (f"| `{each.name}` | {each.meaning} | {each.advice} |" for each in CAUSES)
    return HEAD + "\n".join(rows) + "\n"


def written(page: str) -> str:
    """The page with the table as it should be."""
    before, head, rest = page.partition(HEAD[: HEAD.index("\n") + 1])
    lines = rest.splitlines(keepends=True)
    after = next(number for number, line in enumerate(lines) if not line.startswith("|"))
    return before + (table() if head else "") + "".join(lines[after:])


def main(page: Path = PAGE) -> None:
    """Write the page."""
    page.write_text(written(page.read_text()))


if __name__ == "__main__":
    main()
