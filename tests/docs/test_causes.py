"""The causes that are documented are those that are known, in the same words."""

from __future__ import annotations

from tests.docs import causes, markdown

from llama_operator.diagnose.causes import CAUSES

PAGE = causes.PAGE.read_text()


def test_the_table_is_that_of_the_data() -> None:
    assert causes.table() in markdown.section(PAGE, causes.HEADING), (
        "run `python -m tests.docs.causes`"
    )


def test_it_is_written_from_the_data_and_leaves_the_rest_alone() -> None:
    stale = PAGE.replace(CAUSES[3].meaning, "Something else.")
    assert causes.written(stale) == PAGE != stale
