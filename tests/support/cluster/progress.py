"""Progress lines for slow steps, so that nobody wonders whether a nine-minute build hangs.

A step writes one line when it ends. Until then a terminal shows the elapsed time in place; a log
gets a line at the start and one each half minute instead.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

HEARTBEAT_SECONDS = 30.0


class Progress:
    """Writes steps to a stream (stderr by default); `quiet` keeps only what `note` says."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._live = not quiet and self._stream.isatty()

    def note(self, text: str) -> None:
        """Write one line, quiet or not."""
        self._write(f"{text}\n")

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Show that `label` is under way and, at its end, how many seconds it took."""
        started = time.monotonic()
        done = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(label, started, done), daemon=True)
        if not self._quiet:
            ticker.start()
        outcome = "failed after"
        try:
            yield
            outcome = "done in"
        finally:
            done.set()
            if not self._quiet:
                ticker.join()
                self._end(f"{label}: {outcome} {time.monotonic() - started:.1f} s")

    def _tick(self, label: str, started: float, done: threading.Event) -> None:
        # A step that is over within a second leaves only its last line in a log.
        if not self._live and not done.wait(1.0):
            self._write(f"{label} ...\n")
        while not done.wait(0.5 if self._live else HEARTBEAT_SECONDS):
            elapsed = int(time.monotonic() - started)
            self._write(
                f"\r{label} ... {elapsed} s" if self._live else f"{label} ... {elapsed} s\n"
            )

    def _end(self, text: str) -> None:
        self._write(f"\r\x1b[K{text}\n" if self._live else f"{text}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
