"""Options of a command that stand in a file of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Decorated = Callable[..., Any]


def applied(options: Sequence[Decorated], command: Decorated) -> Decorated:
    """The command with all of them, in this order in its help."""
    for option in reversed(options):
        command = option(command)
    return command
