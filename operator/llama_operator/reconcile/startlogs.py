"""Follows servers that start by the end of their log, and reads once what one that serves told.

A probe cannot be changed while its pod runs, and one that is short enough to notice a hang kills
slow starts. So the startup probe is generous, and this looks whether a start still moves: whether
anything new is written. What cannot be read counts as moving, so nothing is replaced on a guess.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from llama_operator.diagnose import startup
from llama_operator.diagnose.startup import Told
from llama_operator.reconcile.logtext import text_of
from llama_operator.reconcile.recent import keep
from llama_operator.reconcile.snapshot import FOLLOW_SECONDS, Object, Start
from llama_operator.runtime.api import Api
from llama_operator.runtime.clock import Clock

Run = tuple[str, str]

TAIL_LINES = 50
TAIL_BYTES = 131072
# Of one deployment: the others get their turn when these have started.
PODS_AT_ONCE = 4
# All that vLLM writes until it serves, many times over.
HEAD_BYTES = 262144
KEPT = 1024


@dataclass
class _Seen:
    text: str
    phase: str
    changed: float
    asked: float


class StartLogs:
    """Reads logs of servers that start, at a bounded rate."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._seen: OrderedDict[Run, _Seen] = OrderedDict()
        # Runs whose figures were asked for.
        self._told: OrderedDict[Run, None] = OrderedDict()

    async def follow(self, pods: Iterable[Object]) -> dict[str, Start]:
        """Pod UID -> how its start goes, of the pods that are starting."""
        found = [(pod, box) for pod in pods if (box := starting(pod)) is not None]
        found.sort(key=lambda each: str(each[0]["metadata"]["uid"]))
        looked = await asyncio.gather(*(self._look(*each) for each in found[:PODS_AT_ONCE]))
        return {
            pod["metadata"]["uid"]: start for (pod, _), start in zip(found, looked, strict=False)
        }

    async def _look(self, pod: Object, box: Object) -> Start:
        run, now = _run(pod, box), self._clock.monotonic()
        seen = self._seen.get(run)
        if seen is None:
            seen = _Seen("", "", changed=now, asked=now)
            keep(self._seen, run, seen, KEPT)
        elif now - seen.asked >= FOLLOW_SECONDS:
            seen.asked = now
            text = await text_of(
                self._api,
                pod["metadata"],
                box["name"],
                tail_lines=TAIL_LINES,
                limit_bytes=TAIL_BYTES,
            )
            _note(seen, text, now)
        return Start(seen.phase, now - seen.changed)

    async def told(self, pods: Iterable[Object], known: str) -> tuple[Object, Told] | None:
        """The pod that has served longest, and what it told; None where that is `known` or asked.

        `known` is the name of the pod whose figures are had.
        """
        serving = [(pod, box) for pod in pods if (box := answering(pod)) is not None]
        serving.sort(key=lambda each: str(each[0]["metadata"].get("creationTimestamp", "")))
        if not serving or any(pod["metadata"]["name"] == known for pod, _ in serving):
            return None
        pod, box = serving[0]
        run = _run(pod, box)
        if run in self._told:
            return None
        keep(self._told, run, None, KEPT)
        text = await text_of(
            self._api, pod["metadata"], box["name"], tail_lines=None, limit_bytes=HEAD_BYTES
        )
        return (pod, startup.told(text.splitlines())) if text else None


def starting(pod: Object) -> Object | None:
    """The container of a pod that runs and has not answered yet."""
    boxes = _running(pod)
    return next((box for box in boxes if not (box.get("started") or box.get("ready"))), None)


def answering(pod: Object) -> Object | None:
    """The container of a pod that answers."""
    return next((box for box in _running(pod) if box.get("ready")), None)


def _running(pod: Object) -> list[Object]:
    if pod["metadata"].get("deletionTimestamp"):
        return []
    boxes = pod.get("status", {}).get("containerStatuses", ())
    return [box for box in boxes if "running" in box.get("state", {})]


def _note(seen: _Seen, text: str | None, now: float) -> None:
    if text is None or text != seen.text:
        seen.changed = now
    if text is not None:
        seen.text = text
        seen.phase = startup.phase(text.splitlines()) or seen.phase or startup.IMPORTING


def _run(pod: Object, box: Object) -> Run:
    name = box.get("containerID") or str(box.get("restartCount", 0))
    return str(pod["metadata"]["uid"]), name
