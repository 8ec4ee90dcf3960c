"""The table of conventions names files and tests that are there, and says so where something is not."""

from __future__ import annotations

import re

import pytest
from tests.docs import markdown
from tests.docs.markdown import PROJECT

PAGE = (PROJECT / "docs" / "design" / "conventions.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| convention |", "| what |"))
]
CONVENTIONS = [row for row in ROWS if len(row) == 4]
COUNT = 25


def test_each_convention_has_a_row() -> None:
    assert len(CONVENTIONS) == COUNT
    assert {row[1].split(",")[0] for row in CONVENTIONS} <= {"yes", "partly", "no"}


@pytest.mark.parametrize("row", CONVENTIONS, ids=[row[0] for row in CONVENTIONS])
def test_what_is_met_is_shown_and_what_is_not_is_named(row: list[str]) -> None:
    _, met, where, shown = row
    if met != "no":
        assert re.search(r"`(?:test_\w+|make \w+)`", shown)
    if met == "partly":
        assert re.search(r"Missing: |not by choice|Not every", where)


def test_the_tests_are_there() -> None:
    code = "\n".join(path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)", code))
    named = {each for each in markdown.spans(PAGE) if each.startswith("test_")}
    assert len(named) > 50
    assert named <= there, named - there
