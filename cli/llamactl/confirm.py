"""The question before something that cannot be taken back."""

from __future__ import annotations

import sys

import click


def ask(question: str) -> None:
    """Go on only after a yes. Raises click.Abort, and UsageError where nobody can answer."""
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is at the terminal to ask; add --yes")
    click.confirm(question, abort=True, err=True)
