"""How a rollout goes and why, as an annotation of the Deployment that it is about.

Written with the template in one request, so that no crash can part them; the status only repeats it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from llama_operator.api import labels
from llama_operator.render.inputs import Replacing

Object = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """A strategy with its reason; `free` GPUs were counted when it was chosen, None: not counted.

    `last_good` is the revision to go back to; `rejected` the one that it was gone back from, and
    `verdict` why, in a sentence. `turn` counts the changes between one node and several, `since` is
    when the rollout was begun, where only we know.
    """

    strategy: str
    reason: str
    surge: int = 0
    free: int | None = None
    last_good: str = ""
    rejected: str = ""
    verdict: str = ""
    turn: int = 0
    since: str = ""

    @property
    def how(self) -> Replacing:
        """As a Deployment says it."""
        unavailable: dict[str, int | str] = {"Surge": 0, "Swap": "100%"}
        return Replacing(self.surge, unavailable.get(self.strategy, 1), _text(self))

    @property
    def status(self) -> Object:
        """`status.rollout`."""
        told = {"strategy": self.strategy, "freeGPUs": self.free, "reason": self.reason}
        return {name: value for name, value in told.items() if value is not None}


def _text(record: Record) -> str:
    bare = Record("", "")
    values = {name: value for name, value in asdict(record).items() if value != getattr(bare, name)}
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def read(server: Object | None) -> Record | None:
    """The record of a Deployment; None where there was no rollout yet, or it cannot be read."""
    annotations = (server or {}).get("metadata", {}).get("annotations", {})
    try:
        values = json.loads(annotations[labels.ROLLOUT])
        names = {each.name for each in fields(Record)}
        return Record(**{name: value for name, value in values.items() if name in names})
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
