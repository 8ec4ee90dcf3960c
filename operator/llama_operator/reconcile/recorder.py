"""Events for what changed in conditions: one per flip, said in the condition's own words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Protocol

Object = dict[str, Any]

# True is good for all conditions but this one.
_NEGATIVE = "Degraded"


class Events(Protocol):
    """The part of the runtime's recorder that is used."""

    def event(
        self, obj: Object, kind: Literal["Normal", "Warning"], reason: str, action: str, note: str
    ) -> None:
        """Record one event; never waits, never fails."""


class ConditionRecorder:
    """Tells each change of a condition's status or reason as an Event of its object."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def transitions(self, raw: Object, old: list[Object], new: list[Object]) -> None:
        """Record what differs between two lists of conditions."""
        for condition in changed(old, new):
            kind: Literal["Normal", "Warning"] = "Normal" if quiet(condition) else "Warning"
            self._events.event(
                raw, kind, condition["reason"], condition["type"], condition["message"]
            )


def changed(old: Iterable[Object], new: Iterable[Object]) -> list[Object]:
    """Conditions of `new` whose status or reason differs from `old`; Ready only when it flips."""
    before = {entry["type"]: (entry["status"], entry["reason"]) for entry in old}
    found = []
    for entry in new:
        was = before.get(entry["type"])
        if was == (entry["status"], entry["reason"]) or (was is None and entry["status"] != "True"):
            continue
        if entry["type"] == "Ready" and was is not None and was[0] == entry["status"]:
            continue  # it repeats another condition, which has its own event
        found.append(entry)
    return [entry for entry in found if entry["type"] != _NEGATIVE or was_or_is_bad(entry, before)]


def was_or_is_bad(entry: Object, before: dict[str, tuple[str, str]]) -> bool:
    """True for a Degraded that is bad now, or was."""
    return entry["status"] == "True" or before.get(_NEGATIVE, ("False", ""))[0] == "True"


def quiet(condition: Object) -> bool:
    """Whether a condition tells of something normal: good, or merely not done yet."""
    if condition["type"] == _NEGATIVE:
        return bool(condition["status"] != "True")
    return bool(condition["status"] != "False") or condition["reason"] in _UNDER_WAY


_UNDER_WAY = (
    "Pending",
    "Downloading",
    "WaitingForConsumer",
    "NoReplicaReady",
    "Starting",
    "Checking",
)
