"""The table of pitfalls names files and tests that are there."""

from __future__ import annotations

import re

from tests.docs.markdown import PROJECT

PAGE = (PROJECT / "docs" / "design" / "pitfalls.md").read_text()
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]
COUNT = 32


def test_each_pitfall_has_a_file_and_a_test() -> None:
    numbers = [int(row.split("|")[1]) for row in ROWS]
    assert numbers == list(range(1, COUNT + 1))
    for row in ROWS:
        _, _, _, met, tested, _ = row.split("|")
        files = re.findall(r"`(operator/\S+\.py)`", met)
        assert files, row
        assert all((PROJECT / name).exists() for name in files), row
        assert re.findall(r"`([tT]est\w+)`", tested), row


def test_the_tests_are_there() -> None:
    tests = "\n".join(path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^(?:async )?def (test_\w+)|^(Test\w+) = ", tests, re.MULTILINE))
    names = {name for pair in there for name in pair if name}
    assert set(re.findall(r"`([tT]est\w+)`", PAGE)) <= names
