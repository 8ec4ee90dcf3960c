"""A conversion in the memory that its pod would have: a real cgroup with a real limit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bench.checkpoints import SHAPES, write
from tests.integration.convert.test_processes import anonymous

MIB, GIB = 1 << 20, 1 << 30
_SLOW = [pytest.mark.slow, pytest.mark.timeout(900)]
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


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    try:
        made = Group(request.param)
    except OSError as error:
        pytest.skip(f"neither a v1 nor a v2 memory cgroup can be made here: {error}")
    yield made
    made.path.rmdir()


CASES = [
    pytest.param(
        name, layers, SHAPES[name].largest + GIB, marks=marks, id=f"{name}, {layers} layers"
    )
    for name, layers, marks in (
        ("8B-shaped, MP 1", 2, []),
        ("8B-shaped, MP 1", 8, _SLOW),
        ("13B-shaped, MP 2", 8, _SLOW),
    )
]


@pytest.mark.parametrize(("name", "layers", "group"), CASES, indirect=["group"])
def test_the_largest_tensor_and_a_gibibyte_are_enough(
    tmp_path: Path, name: str, layers: int, group: Group
) -> None:
    shape = SHAPES[name]
    source = write(tmp_path / shape.model, shape, layers)
    program = [sys.executable, "-m", "llama_weights", "convert"]
    running = group.run([*program, str(source), str(tmp_path / "out"), f"--model={shape.model}"])
    peak = 0
    while running.poll() is None:
        peak = max(peak, anonymous(running.pid))
        time.sleep(0.005)
    said = running.communicate()[0]
    assert (running.returncode, group.kills) == (0, 0), said
    # The limit counts the page cache of what is read and written as well, and that is far more.
    assert peak <= shape.largest + 512 * MIB
    assert peak > MIB, "it was watched"


@pytest.mark.parametrize("group", [48 * MIB], indirect=True)
def test_the_limit_is_a_real_one(group: Group) -> None:
    hungry = group.run([sys.executable, "-c", "x = b'1' * (200 << 20)"])
    hungry.communicate()
    assert hungry.returncode != 0
    assert group.kills == 1
