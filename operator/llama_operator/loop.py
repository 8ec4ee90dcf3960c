"""The event loop of the programs that run for months.

uvloop takes a fifth less CPU for the same requests; where it is not to be had (Windows), Python's
own loop does the same.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import sys
from collections.abc import Callable, Coroutine
from typing import Any

SWITCH_SECONDS = 0.001
"""How long another thread may keep the loop waiting, each time that it wakes up.

A scrape of ten thousand deployments is written down in a thread of its own, for a second; with
Python's 5 ms an edit, whose way to its child has a dozen steps, took that much longer at each.
"""

GARBAGE_OBJECTS = 20_000
"""Objects made, beyond those that went, before the collector looks for cycles among the youngest.

Python's own 700 are a dozen times in one pass, which makes trees of plain objects and no cycles.
"""


def _factory() -> Callable[[], asyncio.AbstractEventLoop]:
    module = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
    make: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(module).new_event_loop
    return make


def run(program: Coroutine[Any, Any, None]) -> None:
    """Run `program` to its end; SIGINT cancels it, as asyncio.run does."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(GARBAGE_OBJECTS, *gc.get_threshold()[1:])
    with asyncio.Runner(loop_factory=_factory()) as runner:
        runner.run(program)
