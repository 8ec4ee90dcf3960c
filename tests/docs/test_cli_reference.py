"""docs/reference/cli.md is what the commands say of themselves, and they say it of every option."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.docs import cli_reference, markdown

COMMANDS = [
    (words, command)
    for name, group in cli_reference.PROGRAMS.items()
    for words, command in cli_reference.commands(name, group)
]
PAGE = cli_reference.DIRECTORY / cli_reference.NAME


def test_it_is_as_generated() -> None:
    assert PAGE.read_text() == cli_reference.text(), "run `make generate`"


@pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[each[0] for each in COMMANDS])
def test_each_command_and_option_says_what_it_is_for(words: str, command: click.Command) -> None:
    assert command.help, words
    section = markdown.section(PAGE.read_text(), f"### {words}")
    for spelling, _, meaning in cli_reference.options(command):
        assert meaning, f"{words} {spelling}"
        assert f"| {spelling.replace('|', chr(92) + '|')} |" in section


def test_no_default_is_that_of_this_machine() -> None:
    assert f"{Path.home()}" not in PAGE.read_text()
    assert "| one for each CPU, at most 4 |" in PAGE.read_text()


def test_a_stale_page_is_told(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(cli_reference.main, ["--write", "--directory", str(tmp_path)]).exit_code == 0
    assert run(cli_reference.main, ["--check", "--directory", str(tmp_path)]).exit_code == 0
    (tmp_path / "cli.md").write_text("")
    stale = run(cli_reference.main, ["--check", "--directory", str(tmp_path)])
    assert stale.exit_code == 1 and "make generate" in stale.output


def test_text_that_is_markdown_is_shown_as_it_is() -> None:
    @click.command(help="Takes <NAME>.\n\nMore of\nit.\n\n\b\nExamples:\n  x | y\n")
    @click.option("--many", multiple=True, type=click.IntRange(1, 3), help="Some.")
    def command() -> None: ...

    assert cli_reference._described(command) == (
        "Takes &lt;NAME>.\n\nMore of it.\n\n```sh\nx | y\n```\n"
    )
    assert list(cli_reference.options(command)) == [
        ("`--many` INTEGER, 1 to 3", "", "Some. Can be repeated.")
    ]
