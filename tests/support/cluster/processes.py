"""Starts programs and stops exactly those, by pid, also from a later process.

A pid alone may have been given to somebody else since. Each record therefore holds the boot id and
the start time of the process as well, and nothing is signalled unless all three still agree. Every
program leads a session of its own, so that its children go with it and a Ctrl-C in the terminal
does not reach it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import ClusterError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Identity:
    """Names one process for as long as the machine is up."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Identity of a running process, None when there is none (a zombie counts as gone)."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # After the name: state is field 3 of proc(5), the start time in clock ticks field 22.
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]), BOOT_ID.read_text().strip())

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Identity.of(self.pid) == self


@dataclass(frozen=True)
class Command:
    """How a program is started; kept, so that it can be started again."""

    name: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()


class Processes:
    """The programs of one cluster: `run/<name>.json` records and `logs/<name>.log` outputs."""

    def __init__(self, directory: Path) -> None:
        self._run = directory / "run"
        self._logs = directory / "logs"
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, command: Command) -> Identity:
        """Start a program and record it before returning."""
        self._run.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(command.name).open("ab") as output:
            child = subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **dict(command.env)},
            )
        self._children[child.pid] = child
        identity = Identity.of(child.pid)
        if identity is None:
            raise ClusterError(f"{command.name} ended at once:\n{self.tail(command.name)}")
        record = {"identity": asdict(identity), "argv": command.argv, "env": command.env}
        self._record(command.name).write_text(json.dumps(record))
        return identity

    def names(self) -> list[str]:
        """Names of everything that was started and not stopped, oldest first."""
        records = sorted(self._run.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        return [file.stem for file in records]

    def identity(self, name: str) -> Identity:
        """Which process `name` is; raises ClusterError when it was never started."""
        try:
            return Identity(**json.loads(self._record(name).read_text())["identity"])
        except FileNotFoundError:
            raise ClusterError(f"{name} is not part of this cluster") from None

    def command(self, name: str) -> Command:
        """How `name` was started."""
        record = json.loads(self._record(name).read_text())
        return Command(name, tuple(record["argv"]), tuple((k, v) for k, v in record["env"]))

    def alive(self, name: str) -> bool:
        """Whether `name` runs."""
        identity = self.identity(name)
        self._reap(identity.pid)
        return identity.alive

    def require_alive(self) -> None:
        """Raise ClusterError with the last log lines of a program that ended by itself."""
        for name in self.names():
            if not self.alive(name):
                raise ClusterError(f"{name} ended by itself:\n{self.tail(name)}")

    def stop(self, names: Iterable[str], *, grace_seconds: float = 5.0) -> None:
        """End programs, all at once: SIGTERM, and after the grace SIGKILL."""
        waiting = list(names)
        for number, grace in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
            if grace > 0:
                waiting = [name for name in waiting if self.signal(name, number)]
                waiting = self.wait_gone(waiting, grace)
        if waiting:
            raise ClusterError(f"still running after SIGKILL: {', '.join(waiting)}")

    def forget(self, names: Iterable[str]) -> None:
        """Drop the records of programs that were stopped for good."""
        for name in names:
            self._record(name).unlink(missing_ok=True)

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Signal a program's whole session; False when it is gone already."""
        identity = self.identity(name)
        self._reap(identity.pid)
        if not identity.alive:
            return False
        try:
            os.killpg(identity.pid, number)
        except ProcessLookupError:
            return False
        return True

    def log(self, name: str) -> Path:
        """Where the output of `name` goes."""
        return self._logs / f"{name}.log"

    def tail(self, name: str, lines: int = 15) -> str:
        """Last lines of a program's log."""
        try:
            text = self.log(name).read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def wait_gone(self, names: Sequence[str], seconds: float) -> list[str]:
        """Wait until programs have ended; returns those that still run after `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := [name for name in names if self.alive(name)]) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.02)
        return left

    def _reap(self, pid: int) -> None:
        if child := self._children.get(pid):
            child.poll()

    def _record(self, name: str) -> Path:
        return self._run / f"{name}.json"
