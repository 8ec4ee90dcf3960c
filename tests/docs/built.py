"""The site that `make docs` built: `python -m tests.docs.built DIRECTORY`. Standard library only.

MkDocs has checked the links among pages. Here is what it does not look at: that a reader's browser
asks no other host for anything, and that the addresses in the alerts are pages.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
HOST = "https://llamactl.dev/"
# What a browser loads by itself; a plain link, `<a href>`, is none of these.
_LOADS = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*?\ssrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|icon|preload|preconnect))[^>]*?\shref=["']?"""
    r"""((?:https?:)?//[^"'\s>]+)"""
    r"""|url\(["']?((?:https?:)?//[^"')]+)|@import\s+["']((?:https?:)?//[^"']+)""",
    re.IGNORECASE,
)
_RUNBOOK = re.compile(rf"runbook_url: {HOST}(\S+)")


def loads(text: str) -> list[str]:
    """Addresses of other hosts that a page or style sheet makes a browser ask."""
    found = (next(filter(None, each)) for each in _LOADS.findall(text))
    return [each for each in found if not each.startswith(HOST)]


def runbooks(project: Path = PROJECT) -> list[str]:
    """Paths that alerts link to."""
    rules = sorted(project.glob("charts/llama-operator/files/alerts/*.yaml"))
    return [path for each in rules for path in _RUNBOOK.findall(each.read_text())]


def problems(site: Path) -> Iterator[str]:
    """What is wrong with a built site."""
    if not (site / "index.html").exists():
        yield f"{site}: there is no index.html"
    for page in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        yield from (f"{page}: loads {each}" for each in loads(page.read_text()))
    for path in runbooks():
        if not (site / path / "index.html").exists():
            yield f"{site}: an alert links {HOST}{path}, which is no page"


def main() -> int:
    """Exit status 1 where something is wrong."""
    site = Path(sys.argv[1])
    found = list(problems(site))
    print("\n".join(found) or f"docs: {site}/index.html, {len(runbooks())} runbooks")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
