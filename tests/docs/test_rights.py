"""docs/security.md names the operator's rights as they are."""

from __future__ import annotations

from tests.docs import rights

PAGE = rights.PAGE.read_text()


def test_the_table_is_that_of_the_code() -> None:
    assert rights.text() in PAGE, "run `python -m tests.docs.rights`"


def test_it_is_written_from_the_code_and_leaves_the_rest_alone() -> None:
    stale = PAGE.replace("| get, create | the namespaces", "| get, list | the namespaces")
    assert rights.written(stale) == PAGE != stale
