"""A verdict of `diagnose` as a page and as a document."""

from __future__ import annotations

from collections import deque
from typing import Any

import click

from llama_operator.diagnose import judge as diagnose
from llama_operator.diagnose.judge import Diagnosis
from llama_operator.diagnose.words import in_words
from llamactl import output
from llamactl.table import pairs

# Each rank of a replica tells of the failure, and the engine and the server once more.
LINES = 5000


def judge(path: str) -> Diagnosis:
    """Judge the end of a log; "-" is the standard input. Raises OSError."""
    with click.open_file(path, errors="replace") as file:
        return diagnose.diagnose(deque(file, LINES))


def document(verdict: Diagnosis) -> dict[str, Any]:
    """The verdict as scripts read it."""
    return {
        "cause": verdict.cause,
        "evidence": verdict.evidence,
        "explanation": f"{verdict.explanation} {verdict.advice}".rstrip(),
        "fix": dict(verdict.fix),
    }


def page(verdict: Diagnosis, width: int) -> str:
    """The verdict as people read it, with the patch below."""
    rows = [
        ("Cause", output.bad(verdict.cause) if verdict.known else verdict.cause),
        ("Evidence", verdict.evidence),
        ("Meaning", verdict.explanation),
        ("Do", verdict.advice),
        ("Again", _again(verdict)),
        ("Patch", in_words(verdict.fix)),
    ]
    return pairs([row for row in rows if row[1]], width)


def _again(verdict: Diagnosis) -> str:
    if not verdict.known:
        return ""
    return "a new start will not help" if verdict.permanent else "a new start may help"
