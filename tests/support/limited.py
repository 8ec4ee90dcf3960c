"""Programs in a memory cgroup of their own, as the kubelet puts a container into one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


class Group:
    """A memory cgroup of this test's own, v1 or v2."""

    def __init__(self, limit: int) -> None:
        """Raises OSError where this machine does not let us make one."""
        self._v1 = (_V1 / "memory.limit_in_bytes").exists()
        root = _V1 if self._v1 else _V2
        if not self._v1 and "memory" not in (root / "cgroup.subtree_control").read_text().split():
            (root / "cgroup.subtree_control").write_text("+memory")
        self.path = root / f"llama-test-{os.getpid()}-{time.monotonic_ns()}"
        self.path.mkdir()
        try:
            self._limit(limit)
        except OSError:
            self.path.rmdir()
            raise

    def _limit(self, limit: int) -> None:
        # v1 counts memory and swap together, v2 swap alone; without swap there is no such file.
        name, swap = ("memory.max", "memory.swap.max")
        if self._v1:
            name, swap = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        (self.path / name).write_text(str(limit))
        if (self.path / swap).exists():
            (self.path / swap).write_text(str(limit if self._v1 else 0))

    def run(self, command: list[str]) -> subprocess.Popen[str]:
        """Start a program inside it."""
        inside = f'echo $$ > {self.path}/cgroup.procs && exec "$@"'
        return subprocess.Popen(
            ["sh", "-c", inside, "sh", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def kills(self) -> int:
        """How often the kernel has killed for memory here."""
        name = "memory.oom_control" if self._v1 else "memory.events"
        fields = dict(line.split() for line in (self.path / name).read_text().splitlines())
        return int(fields["oom_kill"])


@contextlib.contextmanager
def limited(limit: int) -> Iterator[Group]:
    """A group of so many bytes until the block ends; skips the test where none can be made."""
    try:
        made = Group(limit)
    except OSError as error:
        pytest.skip(f"neither a v1 nor a v2 memory cgroup can be made here: {error}")
    yield made
    made.path.rmdir()
