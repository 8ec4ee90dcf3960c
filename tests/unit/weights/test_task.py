"""Two connections on the same bytes: each is written once, and what counts never changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llama_weights.files import RemoteFile
from llama_weights.part import Part
from llama_weights.schedule import Schedule
from llama_weights.task import Task

SIZE = 1000
STEPS = st.lists(st.tuples(st.sampled_from("lsln"), st.integers(1, 200)), max_size=60)


def opened(directory: Path) -> Part:
    (directory / ".fetch").mkdir()
    part = Part(RemoteFile("f", SIZE, "sha256", "0" * 64), directory, directory / ".fetch")
    part.open()
    return part


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Part]:
    made = opened(tmp_path)
    yield made
    made.close()


def brought(task: Task, count: int, mark: bytes) -> bool:
    """The next bytes come over a task's connection."""
    return task.write(memoryview(mark * min(count, task.end - task.position)))


def counting(part: Part) -> dict[int, int]:
    """Every byte that is recorded, by its place."""
    data = part.path.read_bytes()
    return {place: data[place] for start, end in part.done for place in range(start, end)}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_a_byte_that_counts_is_never_written_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    part = opened(tmp_path_factory.mktemp("part"))
    late = Task(part, 0, SIZE)
    brought(late, 100, b"l")
    spare = Task(part, late.position, SIZE, late=late)
    before: dict[int, int] = {}
    for kind, count in steps:
        if kind == "n":
            (late if count % 2 else spare).note()
        else:
            brought(late if kind == "l" else spare, count, kind.encode())
        now = counting(part)
        assert before.items() <= now.items()
        before = now
    assert not (late.superseded and spare.late), "one of the two must be at work"
    for task in (late, spare):
        while brought(task, 200, b"x") and task.position < SIZE:
            pass
        task.note()
    assert len(counting(part)) == SIZE
    part.close()


def test_a_spare_takes_over_where_the_straggler_is(part: Part) -> None:
    late = Task(part, 0, SIZE)
    brought(late, 300, b"l")
    spare = Task(part, 0, SIZE, late=late)
    assert brought(spare, 200, b"s")
    assert not late.superseded
    assert brought(spare, 200, b"s")
    assert not brought(late, 100, b"l"), "it was overtaken"
    assert spare.note() == 400, "with what the straggler had not recorded: it may hang"
    assert part.path.read_bytes()[:400] == b"l" * 300 + b"s" * 100


def test_a_straggler_that_arrives_first_needs_no_spare(part: Part) -> None:
    late = Task(part, 0, SIZE)
    spare = Task(part, 0, SIZE, late=late)
    brought(late, SIZE, b"l")
    assert not brought(spare, 500, b"s")
    assert late.note() == SIZE
    assert part.path.read_bytes() == b"l" * SIZE


def test_a_file_that_is_fetched_whole_keeps_what_counts(part: Part) -> None:
    ranged = Task(part, 500, SIZE)
    brought(ranged, 100, b"r")
    ranged.note()
    schedule = Schedule([], 2, lambda _: None, SIZE)
    schedule._out.append(ranged)
    schedule.fetch_whole(part)
    assert not brought(ranged, 100, b"r"), "only one connection may write now"
    whole = Task(part, 0, SIZE, whole=True)
    brought(whole, SIZE, b"w")
    whole.note()
    assert part.path.read_bytes() == b"w" * 500 + b"r" * 100 + b"w" * 400
