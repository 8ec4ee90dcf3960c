"""The table of rights in docs/security.md: `python -m tests.docs.rights` writes it anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.docs.markdown import PROJECT

from llama_operator import rbac
from llama_operator.api.reference import table

PAGE = PROJECT / "docs" / "security.md"
HEAD = ("API group", "Resources", "Verbs", "Where")
PLACES = {
    "the namespaces that are watched": rbac.WATCHED,
    "the cluster": rbac.CLUSTER,
    "the operator's own namespace": rbac.OWN_NAMESPACE,
}


def text() -> str:
    """The table, a row for each right."""
    return table(HEAD, _rows())


def _rows() -> Iterator[tuple[str, ...]]:
    for place, rights in PLACES.items():
        for group, resources, verbs in rights:
            yield f"`{group or 'core'}`", ", ".join(resources), ", ".join(verbs), place


def written(page: str) -> str:
    """The page with the table as it should be."""
    start = page.index(f"| {' | '.join(HEAD)} |")
    lines = page[start:].splitlines(keepends=True)
    after = next(number for number, line in enumerate(lines) if not line.startswith("|"))
    return page[:start] + text() + "".join(lines[after:])


def main(page: Path = PAGE) -> None:
    """Write the page."""
    page.write_text(written(page.read_text()))


if __name__ == "__main__":
    main()
