"""Every exception as one sentence, the field, the way out and the next command.

A traceback for a typing mistake tells the user that we did not think of it. This file is the
only one that knows how failures read; commands raise and never print. LLAMACTL_DEBUG=1 shows
the traceback as well, for those who repair llamactl itself.
"""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass

import click

from llama_operator.api.errors import LlamaError
from llamactl import output

FAILED = 1
USAGE = 2
NOT_READY = 3


class CliError(LlamaError):
    """A failure that llamactl itself found.

    `next` is a command line to offer, `paste` a text to give to somebody else.
    """

    def __init__(
        self, message: str, *, field: str = "", fix: str = "", next: str = "", paste: str = ""
    ) -> None:
        super().__init__(message, field=field, fix=fix)
        self.next = next
        self.paste = paste


class BadValueError(CliError):
    """An argument or option has a value that cannot be."""

    exit_code = USAGE


class TimedOutError(CliError):
    """A wait ran out of time."""

    exit_code = NOT_READY


@dataclass(frozen=True)
class Report:
    """What the user reads, and the exit code that a script sees."""

    message: str
    fix: str = ""
    next: str = ""
    code: int = FAILED
    paste: str = ""


def show(error: BaseException) -> int:
    """Write an error to stderr and return the exit code for it."""
    if os.environ.get("LLAMACTL_DEBUG", "") not in ("", "0"):
        output.talk("".join(traceback.format_exception(error)).rstrip())
    report = explain(error)
    output.talk(f"{output.bad('Error:')} {sentence(report.message)}")
    if report.fix and not report.paste:
        output.talk(sentence(report.fix))
    if report.paste:
        # Flush left and in one piece, so that it can be applied as it stands.
        output.talk(f"Ask whoever may to apply this:\n{report.paste}\nThen see whether it helps:")
    if report.next:
        output.hint(report.next)
    return report.code


def explain(error: BaseException) -> Report:
    """The report for any exception."""
    if isinstance(error, LlamaError):
        return _of_llama_error(error)
    if isinstance(error, click.ClickException):
        return Report(error.format_message(), code=error.exit_code)
    if isinstance(error, OSError):
        return _of_os_error(error)
    return Report(
        f"llamactl met something it does not handle: {type(error).__name__}: {error}",
        fix="This is a fault of llamactl; run it again with LLAMACTL_DEBUG=1 and report the text",
    )


def sentence(text: str) -> str:
    """The text ending like a sentence."""
    text = text.strip()
    return text if text.endswith((".", "?", "!", ":")) else text + "."


def _of_llama_error(error: LlamaError) -> Report:
    message = f"{error.field}: {error.message}" if error.field else error.message
    offer = {name: getattr(error, name, "") for name in ("next", "paste")}
    return Report(message, error.fix, code=error.exit_code, **offer)


def _of_os_error(error: OSError) -> Report:
    if error.filename:
        return Report(f"{error.filename}: {error.strerror}", code=FAILED)
    return Report(str(error.strerror or error) or type(error).__name__)
