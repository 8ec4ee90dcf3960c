"""What a process has used so far, from /proc (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Used:
    """CPU seconds of all threads since the start, resident bytes now and at most."""

    cpu: float
    resident: int
    peak: int


def used(pid: int) -> Used:
    """Of a process that runs."""
    # The name, in parentheses, may hold anything: fields are counted from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return Used(
        cpu=ticks / os.sysconf("SC_CLK_TCK"),
        resident=int(sizes["VmRSS"]) * 1024,
        peak=int(sizes["VmHWM"]) * 1024,
    )
