"""The logs of several containers as one stream: one after another, or side by side as they grow.

Following goes on across restarts and new pods: whoever watches a server that crashes wants the
next run as well. It ends with the deployment, or with Ctrl-C.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from llamactl import podlog
from llamactl.api_errors import ApiError, UnreachableError
from llamactl.errors import CliError
from llamactl.kube import Kube
from llamactl.podruns import Run

EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Line:
    """A line of a run's log, or a remark about it (`note`)."""

    run: Run
    text: str
    note: bool = False


# The runs that there are; None where the deployment is gone.
Look = Callable[[], list[Run] | None]


def once(kube: Kube, runs: list[Run], query: Mapping[str, str]) -> Iterator[Line]:
    """The logs that there are, one run after another."""
    previous = "previous" in query
    for run in runs:
        if previous and not run.number:
            yield Line(run, "has not been started again, so there is no run before", note=True)
        elif run.begun or previous:
            yield from _lines(kube, run, query)
        else:
            yield Line(run, "has not started yet", note=True)


def _lines(
    kube: Kube, run: Run, query: Mapping[str, str], *, follow: bool = False
) -> Iterator[Line]:
    try:
        for text in podlog.lines(kube, run.pod, run.container, query, follow=follow):
            yield Line(run, text.decode(errors="replace"))
    except ApiError as error:
        # Its pod is gone, or its node does not answer; the others still have something to say.
        yield Line(run, error.message if error.status != 403 else str(_whole(error)), note=True)


def _whole(error: CliError) -> str:
    return f"{error.message}. {error.fix}"


def follow(kube: Kube, look: Look, query: Mapping[str, str]) -> Iterator[Line]:
    """The logs as they grow, of runs that begin later as well, until the deployment is gone."""
    lines: queue.Queue[Line] = queue.Queue()
    begun: set[Run] = set()
    found = look()
    wanted = query
    while found is not None:
        for run in found:
            if run.begun and run not in begun:
                begun.add(run)
                _start(kube, run, wanted, lines)
        # Of what begins from now on every line is new.
        wanted = {}
        yield from _until(lines, time.monotonic() + EVERY_SECONDS)
        try:
            found = look()
        except UnreachableError:
            continue
    yield from _until(lines, time.monotonic())


def _start(kube: Kube, run: Run, query: Mapping[str, str], lines: queue.Queue[Line]) -> None:
    def read() -> None:
        try:
            for line in _lines(kube, run, query, follow=True):
                lines.put(line)
        except Exception as error:
            lines.put(Line(run, f"the stream broke: {error}", note=True))

    threading.Thread(target=read, daemon=True).start()


def _until(lines: queue.Queue[Line], end: float) -> Iterator[Line]:
    while True:
        left = end - time.monotonic()
        try:
            yield lines.get(timeout=left) if left > 0 else lines.get_nowait()
        except queue.Empty:
            return
