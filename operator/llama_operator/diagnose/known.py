"""What a cause is: a name, what it means, what to do, and the lines that give it away.

The causes themselves are data in `causes/`, so that a new failure is a new row, with its text in
the tests, and no new code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from llama_operator.diagnose.facts import Facts

Patch = Mapping[str, Any]
# From what the line and the whole log tell to a patch of the LlamaDeployment; {} where they
# tell too little.
Fix = Callable[[Mapping[str, str], Facts], Patch]


NEAR_LINES = 80


class Rank(IntEnum):
    """Which of several causes in one log is the one to name: the lowest.

    One failure drags others after it: the rank that ran out of memory makes the others lose
    their peer, and the engine's death is told of last and most often.
    """

    ROOT = 0
    GENERAL = 1
    CONSEQUENCE = 2


def nothing(_: Mapping[str, str], __: Facts) -> Patch:
    """No field of the spec mends it."""
    return {}


@dataclass(frozen=True)
class Signature:
    """A line that gives a cause away.

    `pattern` is searched for in the line without its prefixes; its named groups fill
    `explanation` (default: the cause's meaning) and `fix`.
    """

    pattern: str
    explanation: str = ""
    fix: Fix = nothing
    # It is the line of code that failed: an assertion has no other words.
    code: bool = False
    # A line that must stand at most NEAR_LINES before it: what the same exception came from.
    near: str = ""
    # Some libraries warn of what they then die of. A warning counts where something did fail.
    warnings_too: bool = False


@dataclass(frozen=True)
class KnownCause:
    """One row: a CamelCase name, a sentence of meaning, a sentence of advice, its signs.

    `exit_codes` and `reasons` (of a terminated container) are signs where no line is one.
    `permanent`: starting again does not help.
    """

    name: str
    meaning: str
    advice: str
    signatures: tuple[Signature, ...] = ()
    exit_codes: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()
    permanent: bool = True
    rank: Rank = Rank.ROOT
