"""What servers say of their adapters, read from their logs: only while something is waited for.

The log is the one way to a server that an operator has wherever it runs: outside the cluster there
is none to its port, and the right to go through the API server to any pod is too much for this. A
server that has said what is wanted of it is not asked again; while one has not, it is asked every
15 s, and after ten minutes every five. After a restart the status is believed, if it says that all
is loaded. A log is read on from the last look, and servers say it again every ten minutes, so
nothing is missed for good.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from llama_operator.reconcile.logtext import text_of
from llama_operator.reconcile.recent import keep
from llama_operator.reconcile.snapshot import Loading, Object, Place
from llama_operator.reconcile.startlogs import answering
from llama_operator.runtime.api import Api
from llama_operator.runtime.clock import Clock

SOON_SECONDS, LATER_SECONDS = 15.0, 300.0
# From when on it is no longer asked so often.
IMPATIENT_SECONDS = 600.0
LIMIT_BYTES = 1 << 20
# Of one deployment at a time; the others have their turn with the next look.
AT_ONCE = 8
KEPT = 4096
_LINE = re.compile(r"llama_adapters: (\{.*\})")
_LONGEST, _MOST = 300, 64


class Followed(NamedTuple):
    """What each server has said, by the UID of its pod, and when to look again."""

    loaded: dict[str, Loading]
    again: float | None


@dataclass
class _Seen:
    state: Loading | None = None
    wanted: dict[str, Place] = field(default_factory=dict)
    since: float = 0.0
    asked: float = -math.inf

    @property
    def settled(self) -> bool:
        """Whether it has loaded what is wanted, all of it and nothing else."""
        return self.state is not None and dict(self.state.loaded) == self.wanted

    def interval(self, now: float) -> float:
        """Seconds between two looks."""
        return LATER_SECONDS if now - self.since > IMPATIENT_SECONDS else SOON_SECONDS


class AdapterLogs:
    """Reads logs of servers with adapters, at a bounded rate."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api, self._clock = api, clock
        self._seen: OrderedDict[tuple[str, str], _Seen] = OrderedDict()
        # Deployments that were looked at since the operator began.
        self._met: OrderedDict[str, None] = OrderedDict()

    async def follow(
        self, owner: str, pods: Iterable[Object], wanted: Mapping[str, Place], believed: bool
    ) -> Followed:
        """How these servers of the deployment with the UID `owner` are.

        `believed`: its status says that all of them have loaded all of it.
        """
        found = [(pod, box) for pod in pods if (box := answering(pod)) is not None]
        first = owner not in self._met
        keep(self._met, owner, None, KEPT)
        now = self._clock.monotonic()
        seen = [self._of(pod, box, dict(wanted), now) for pod, box in found]
        if first and believed:
            for each in seen:
                each.state = each.state or Loading(loaded=dict(wanted))
        due = [
            (pod, box, each)
            for (pod, box), each in zip(found, seen, strict=True)
            if not each.settled and now - each.asked >= each.interval(now)
        ]
        await asyncio.gather(*(self._look(*each, now) for each in due[:AT_ONCE]))
        states = {
            str(pod["metadata"]["uid"]): each.state
            for (pod, _), each in zip(found, seen, strict=True)
            if each.state is not None
        }
        waits = [each.interval(now) for each in seen if not each.settled]
        return Followed(states, min(waits, default=None))

    def _of(self, pod: Object, box: Object, wanted: dict[str, Place], now: float) -> _Seen:
        run = str(pod["metadata"]["uid"]), str(box.get("containerID", ""))
        seen = self._seen.get(run) or _Seen(since=now)
        if seen.wanted != wanted:
            seen.wanted, seen.since = wanted, now
        keep(self._seen, run, seen, KEPT)
        return seen

    async def _look(self, pod: Object, box: Object, seen: _Seen, now: float) -> None:
        since = None if seen.asked == -math.inf else math.ceil(now - seen.asked) + 2
        seen.asked = now
        text = await text_of(
            self._api,
            pod["metadata"],
            box["name"],
            tail_lines=None,
            limit_bytes=LIMIT_BYTES,
            since_seconds=since,
        )
        seen.state = said(text or "") or seen.state


def said(text: str) -> Loading | None:
    """The last that a log says of adapters; a stranger's text, so bounded and checked."""
    for line in reversed(_LINE.findall(text)):
        try:
            data = json.loads(line)
            return Loading(loaded=_texts(data["loaded"]), failed=_texts(data["failed"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return None


def _texts(found: Mapping[str, str]) -> dict[str, str]:
    pairs = list(found.items())[:_MOST]
    return {str(name)[:_LONGEST]: " ".join(str(text).split())[:_LONGEST] for name, text in pairs}
