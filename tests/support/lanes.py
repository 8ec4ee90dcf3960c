"""Programs side by side: lanes of commands, each line of output with the name of its lane."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_PRINTING = threading.Lock()
# Of a program in Python, as the rest of the arguments of `python -m`.
Command = Sequence[str]


@dataclass
class _Lane:
    name: str
    commands: Sequence[Command]
    fine: frozenset[int]
    go_on: bool
    failed: list[str] = field(default_factory=list)

    def run(self) -> None:
        for command in self.commands:
            if _step(self.name, [sys.executable, "-m", *command]) not in self.fine:
                self.failed.append(" ".join(command))
                if not self.go_on:
                    return


def run(
    lanes: Mapping[str, Sequence[Command]], fine: Sequence[int] = (0,), *, go_on: bool = False
) -> list[str]:
    """Run lanes beside each other, the commands of each one after the other; returns what failed.

    The first command of a lane whose exit status is not among `fine` ends the lane, unless told to
    go on.
    """
    made = [_Lane(name, commands, frozenset(fine), go_on) for name, commands in lanes.items()]
    threads = [threading.Thread(target=lane.run) for lane in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [f"{lane.name}: {failure}" for lane in made for failure in lane.failed]


def say(lane: str, line: str) -> None:
    """One whole line at a time, whichever lane speaks."""
    with _PRINTING:
        print(f"[{lane}] {line}", flush=True)


def _step(lane: str, command: Sequence[str]) -> int:
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    for line in process.stdout:
        say(lane, line.rstrip())
    return process.wait()
