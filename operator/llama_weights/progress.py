"""Progress, to whoever watches: a bar on a terminal, JSON lines in a pod's log.

A pod's log is read by machines and kept, so a line comes at most every five seconds; a terminal
is watched by a person, so the bar moves all the time. Neither may slow or fail the fetch.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from llama_weights.meter import Meter, Reading

LINE_SECONDS = 5.0
_BAR_SECONDS = 0.2


def as_status(reading: Reading) -> dict[str, Any]:
    """`status.progress` of a LlamaWeights."""
    return {
        "phase": reading.phase,
        "bytesDone": reading.done,
        "bytesTotal": reading.total,
        "bytesPerSecond": int(reading.rate),
        "eta": reading.eta,
    }


@contextlib.contextmanager
def every(seconds: float, work: Callable[[], None]) -> Iterator[None]:
    """Call `work` at once and then at that interval, in a thread, until the block ends."""
    over = threading.Event()

    def loop() -> None:
        while True:
            with contextlib.suppress(Exception):
                work()
            if over.wait(seconds):
                return

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(1.0)


@contextlib.contextmanager
def shown(meter: Meter, out: TextIO | None = None) -> Iterator[None]:
    """Show a meter on a terminal as a bar, elsewhere as JSON lines."""
    stream = out or sys.stdout
    if stream.isatty():
        with _bar(meter):
            yield
        return
    with every(LINE_SECONDS, lambda: _line(meter, stream)):
        yield


def _line(meter: Meter, stream: TextIO) -> None:
    reading = meter.read()
    if reading.total:
        stream.write(json.dumps({"event": "progress", **as_status(reading)}) + "\n")
        stream.flush()


@contextlib.contextmanager
def _bar(meter: Meter) -> Iterator[None]:
    # Imported here: a pod has no terminal, and rich costs it a tenth of a second.
    from rich import progress  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
        progress.TextColumn("{task.fields[eta]}"),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(meter.phase, total=None, eta="")

        def update() -> None:
            now = meter.read()
            total = now.total or None
            bar.update(task, description=now.phase, completed=now.done, total=total, eta=now.eta)

        with every(_BAR_SECONDS, update):
            yield
        update()
