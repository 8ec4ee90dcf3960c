"""What a rollout comes to at one moment: the template that servers are to be of, and what is said."""

from __future__ import annotations

from dataclasses import dataclass, field

from llama_operator.planner.plan import Plan
from llama_operator.reconcile.pulls import Pulling
from llama_operator.reconcile.record import Record
from llama_operator.reconcile.snapshot import Object

# GPUs become free without an event that we see.
WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Canary:
    """A revision that is tried beside the servers, is to be, or was.

    `template` is empty where it has no server; `percent` of the requests from outside are for it.
    """

    text: str
    template: Object = field(default_factory=dict)
    percent: int = 0
    free: int | None = None
    # What it waits for are GPUs.
    waits: bool = False


@dataclass(frozen=True)
class Course:
    """The template that servers are to be of now, and how they get there."""

    template: Object
    record: Record | None = None
    # The plan of that template, where it is not that of the revision that is asked for.
    plan: Plan | None = None
    # Why that revision was given up; "" where it was not.
    refused: str = ""
    # Why the rollout has not begun; "" where it has.
    waits: str = ""
    # What is brought to nodes before it goes on.
    pulling: Pulling | None = None
    free: int | None = None
    again: float | None = None
    canary: Canary | None = None
    # The template that a canary has, had, or is to have.
    tried: Object = field(default_factory=dict)

    @property
    def newest(self) -> Object:
        """The template of the newest servers that there are, or are about to be."""
        return self.tried or self.template

    @property
    def status(self) -> Object:
        """`status.rollout`; empty before the first rollout."""
        if self.canary is not None:
            return Record("Canary", self.canary.text, free=self.canary.free).status
        # It could only be a surge: all else would have begun.
        told = Record("Surge", self.waits, free=self.free) if self.waits else self.record
        return told.status if told else {}
