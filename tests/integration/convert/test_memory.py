"""A conversion in the memory that its pod would have: a real cgroup with a real limit."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bench.checkpoints import SHAPES, write
from tests.integration.convert.test_processes import anonymous
from tests.support.limited import Group, limited

MIB, GIB = 1 << 20, 1 << 30
_SLOW = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    with limited(request.param) as made:
        yield made


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
