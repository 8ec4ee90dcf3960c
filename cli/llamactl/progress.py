"""Progress on stderr: live on a terminal, one plain line per news elsewhere.

A log of a CI job wants neither control characters nor a line a second: there a stage is told
when it changes, and bytes at most every ten seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llamactl import output
from llamactl.stages import Stage
from llamactl.units import duration

PLAIN_SECONDS = 10.0
SIGNS = {"todo": "·", "doing": "…", "done": "✓", "failed": "✗"}
COLOURS = {"todo": "dim", "doing": "yellow", "done": "green", "failed": "red"}
BAR_CELLS = 24


class Plain:
    """Lines, for logs and pipes."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._told: dict[str, tuple[str, str]] = {}
        self._last_bytes = float("-inf")

    def show(self, steps: Sequence[Stage]) -> None:
        """A line for each stage with news."""
        for stage in steps:
            if stage.state != "todo" and self._is_news(stage):
                self._told[stage.name] = (stage.state, stage.text)
                self._line(f"{stage.name}: {stage.text or stage.state}")

    def note(self, text: str) -> None:
        """A remark, once."""
        if self._told.get("note") != ("", text):
            self._told["note"] = ("", text)
            self._line(text)

    def _is_news(self, stage: Stage) -> bool:
        before = self._told.get(stage.name)
        if before == (stage.state, stage.text):
            return False
        if stage.total and before and before[0] == stage.state:
            if time.monotonic() - self._last_bytes < PLAIN_SECONDS:
                return False
            self._last_bytes = time.monotonic()
        return True

    def _line(self, text: str) -> None:
        output.talk(f"[{duration(time.monotonic() - self._start):>6}] {text}")


class Live:
    """A block that redraws itself, for terminals."""

    def __init__(self, live: Any) -> None:
        self._live = live
        self._start = time.monotonic()
        self._note = ""
        self._stages: list[Stage] = []

    def show(self, steps: Sequence[Stage]) -> None:
        """Redraw with the newest stages."""
        self._stages = list(steps)
        self._note = ""
        self._draw()

    def note(self, text: str) -> None:
        """Redraw with a remark."""
        self._note = text
        self._draw()

    def _draw(self) -> None:
        self._live.update(self, refresh=True)

    def __rich__(self) -> Any:
        """The block; called at every refresh, so the clock runs between snapshots."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        for stage in self._stages:
            style = COLOURS[stage.state]
            grid.add_row(Text(SIGNS[stage.state], style), stage.name, _body(stage, style))
        elapsed = Text(duration(time.monotonic() - self._start), "dim")
        grid.add_row("", Text("time", "dim"), elapsed)
        if self._note:
            grid.add_row("", "", Text(self._note, "yellow"))
        return grid


def _body(stage: Stage, style: str) -> Any:
    from rich.text import Text

    text = Text(stage.text, "dim" if stage.state == "todo" else "")
    if not stage.total:
        return text
    filled = BAR_CELLS * stage.done // stage.total
    bar = Text("━" * filled, style) + Text("─" * (BAR_CELLS - filled) + " ", "dim")
    return bar + text


@contextmanager
def display() -> Iterator[Plain | Live]:
    """The display that fits stderr."""
    if not output.interactive():
        yield Plain()
        return
    from rich.console import Console
    from rich.live import Live as RichLive

    with RichLive(console=Console(stderr=True), auto_refresh=True, refresh_per_second=4) as live:
        yield Live(live)
