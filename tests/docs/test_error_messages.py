"""docs/errors.md has every cause, and what it shows under one is judged to be that one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.docs import error_messages, markdown

from llama_operator.diagnose.causes import CAUSES
from llama_operator.diagnose.judge import diagnose
from llama_operator.diagnose.known import KnownCause

PAGE = (error_messages.DIRECTORY / error_messages.NAME).read_text()


def shown(cause: str) -> list[str]:
    """The messages below the heading of a cause."""
    section = markdown.section(PAGE, f"### {cause}")
    return [
        line
        for language, block in markdown.blocks(section)
        if language == "text"
        for line in block.splitlines()
    ]


def test_it_is_as_generated() -> None:
    assert error_messages.text() == PAGE, "run `make generate`"


def test_every_cause_has_an_entry_and_no_other_has() -> None:
    known = [cause.name for cause in CAUSES]
    assert re.findall(r"^### (\S+)$", PAGE, re.MULTILINE) == known
    assert [each.name for theme in error_messages.THEMES.values() for each in theme] == known


@pytest.mark.parametrize("cause", CAUSES, ids=[each.name for each in CAUSES])
def test_an_entry_says_what_to_do_and_shows_a_sign(cause: KnownCause) -> None:
    section = markdown.section(PAGE, f"### {cause.name}")
    assert section.count("**What to do:** ") == 1
    assert "```text" in section or "Also known by" in section


def test_most_messages_are_enough_by_themselves() -> None:
    """Some need the lines before them, some are too long for the page; none may mislead."""
    verdicts = {each.name: [diagnose([line]) for line in shown(each.name)] for each in CAUSES}
    all_of_them = [(cause, verdict) for cause, found in verdicts.items() for verdict in found]
    right = [cause for cause, verdict in all_of_them if verdict.cause == cause]
    wrong = [(c, v.cause) for c, v in all_of_them if v.known and v.cause != c]
    assert not wrong
    assert len(right) > 0.9 * len(all_of_them) > 300


def test_a_stale_page_is_told(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(error_messages.main, ["--write", "--directory", str(tmp_path)]).exit_code == 0
    (tmp_path / "errors.md").write_text("")
    stale = run(error_messages.main, ["--check", "--directory", str(tmp_path)])
    assert stale.exit_code == 1 and "make generate" in stale.output
