"""The question before something is lost."""

from __future__ import annotations

import sys

import click


def ask(question: str) -> None:
    """Go on after a yes. Raises click.Abort after a no, UsageError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is at the terminal to ask; add --yes")
    click.confirm(question, abort=True, err=True)
