"""The one place that writes: data on stdout, talk on stderr, colour only where it is wanted.

A script that reads our stdout must see nothing but the answer, so no command calls
`click.echo` itself. Colour follows the stream (a terminal or not) and NO_COLOR.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

DEFAULT_WIDTH = 100
MINIMUM_WIDTH = 40


class PipeClosed(Exception):  # noqa: N818 - no error: the reader has seen enough
    """Nobody reads our stdout any more.

    No OSError on purpose: click would swallow it and end with exit code 0.
    """


def data(text: str) -> None:
    """A line of the answer, on stdout. Raises PipeClosed."""
    _write(text, newline=True)


def part(text: str) -> None:
    """A piece of a streamed answer, shown at once, without a line end. Raises PipeClosed."""
    _write(text, newline=False)


def _write(text: str, *, newline: bool) -> None:
    try:
        click.echo(text, nl=newline, color=_colour())
    except BrokenPipeError as error:
        raise PipeClosed from error


def talk(text: str = "") -> None:
    """A line for the person at the terminal, on stderr."""
    click.echo(text, err=True, color=_colour())


def hint(*commands: str) -> None:
    """What to run next, one command a line, on stderr."""
    for command in commands:
        talk(f"  {click.style(command, bold=True)}")


def document(value: Any, fmt: str) -> None:
    """A JSON or YAML document on stdout."""
    data(to_json(value) if fmt == "json" else to_yaml(value))


def to_json(value: Any) -> str:
    """JSON for people and programs alike, keys in their given order."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def to_yaml(value: Any) -> str:
    """YAML without aliases, keys in their given order, no newline at the end."""
    import yaml

    text: str = yaml.dump(
        value, Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=True, width=100
    )
    return text.rstrip("\n")


def clean(obj: Mapping[str, Any]) -> dict[str, Any]:
    """An object as `kubectl get` shows it: without the bookkeeping of field managers."""
    meta = {k: v for k, v in obj.get("metadata", {}).items() if k != "managedFields"}
    return {**obj, "metadata": meta}


def object_list(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several objects as one `v1 List`, the form that kubectl prints and applies."""
    return {"apiVersion": "v1", "kind": "List", "items": [clean(item) for item in items]}


def interactive() -> bool:
    """Is a person watching stderr?"""
    return sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb"


def width() -> int:
    """Columns to lay tables out for: the terminal's, at most 100; $COLUMNS overrides."""
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isascii() and wanted.isdigit() and int(wanted):
        return max(MINIMUM_WIDTH, int(wanted))
    if not sys.stdout.isatty():
        return DEFAULT_WIDTH
    import shutil

    return max(MINIMUM_WIDTH, min(DEFAULT_WIDTH, shutil.get_terminal_size().columns))


def good(text: str) -> str:
    """Text for what is as it should be."""
    return click.style(text, fg="green")


def bad(text: str) -> str:
    """Text for what needs a person."""
    return click.style(text, fg="red")


def waiting(text: str) -> str:
    """Text for what is under way."""
    return click.style(text, fg="yellow")


def _colour() -> bool | None:
    # click strips colour from what is no terminal; NO_COLOR is for us to heed.
    return False if os.environ.get("NO_COLOR") else None
