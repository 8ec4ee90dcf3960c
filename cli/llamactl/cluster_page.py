"""What `llamactl doctor cluster` says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from llamactl import output
from llamactl.check import Check
from llamactl.doctor_page import unread_section
from llamactl.table import Column, render

COLUMNS = (
    Column("CHECK", wrap=True, least=10),
    Column("STATE"),
    Column("FOUND", wrap=True, least=14),
    Column("MEANS", wrap=True, least=20),
)
COLOURS: Mapping[str, Callable[[str], str]] = {
    "ok": output.good,
    "bad": output.bad,
    "note": str,
    "unknown": output.waiting,
}


def healthy(checks: Sequence[Check]) -> bool:
    """Whether nothing is wrong that keeps deployments from working."""
    return not any(check.state == "bad" for check in checks)


def document(checks: Sequence[Check], unread: Sequence[str]) -> dict[str, Any]:
    """The checks as scripts read them."""
    return {
        "healthy": healthy(checks),
        "checks": [_row(check) for check in checks],
        "unread": list(unread),
    }


def _row(check: Check) -> dict[str, Any]:
    return {
        "check": check.what,
        "state": check.state,
        "found": check.found,
        "meaning": check.meaning,
        "rules": list(check.rules),
    }


def page(checks: Sequence[Check], unread: Sequence[str], width: int) -> str:
    """A table, the rules to add, then what was not read."""
    rows = [[c.what, COLOURS[c.state](c.state), c.found, c.meaning] for c in checks]
    sections = [
        render(COLUMNS, rows, width),
        *(_rules(check) for check in checks if check.rules),
        unread_section(unread, width),
    ]
    return "\n\n".join(section for section in sections if section)


def _rules(check: Check) -> str:
    # Not wrapped: they are to be pasted.
    title = click.style(f"{check.what}: rules to add", bold=True)
    return "\n".join([title, *(f"- {rule}" for rule in check.rules)])
