"""One check of a cluster and its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# note: worth knowing, and no fault; unknown: it may not be read.
State = Literal["ok", "note", "bad", "unknown"]


@dataclass(frozen=True)
class Check:
    """What was looked for, whether that is well, what was found, and what it means."""

    what: str
    state: State
    found: str
    meaning: str = ""
    # RBAC rules to add, as a role writes them.
    rules: tuple[str, ...] = ()


def unknown(what: str) -> Check:
    """For what you may not read; the rule to ask for stands below the table."""
    return Check(what, "unknown", "you may not read it", "the rule to ask for is below")
