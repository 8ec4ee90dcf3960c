"""Which bytes are believed to be there: sets of ranges, and the journal that survives a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_weights import journal
from llama_weights.files import RemoteFile
from llama_weights.journal import Journal
from llama_weights.ranges import Ranges

FILE = RemoteFile("model.safetensors", 1000, "sha256", "a" * 64)
SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=30)


@given(SPANS)
def test_ranges_behave_as_a_set_of_bytes(spans: list[tuple[int, int]]) -> None:
    ranges, model = Ranges(), set[int]()
    for start, length in spans:
        added = set(range(start, start + length))
        assert ranges.add(start, start + length) == len(added - model)
        model |= added
    assert {byte for start, end in ranges for byte in range(start, end)} == model
    assert ranges.total == len(model)
    gaps = {byte for start, end in ranges.gaps(90) for byte in range(start, end)}
    assert gaps == set(range(90)) - model
    assert ranges.prefix() == next(byte for byte in range(100) if byte not in model)
    edges = [edge for span in ranges for edge in span]
    assert edges == sorted(set(edges))  # disjoint, and none touch


def reopened(path: Path, file: RemoteFile = FILE) -> list[tuple[int, int]]:
    again = Journal(path, file)
    try:
        return list(again.open())
    finally:
        again.close()


def written(path: Path) -> Journal:
    made = Journal(path, FILE)
    made.open()
    made.add(0, 100)
    made.add(200, 300)
    made.synced(1)
    made.close()
    return made


def test_a_killed_process_finds_all_its_ranges(tmp_path: Path) -> None:
    written(tmp_path / "j")
    assert reopened(tmp_path / "j") == [(0, 100), (200, 300)]


def test_after_a_crash_of_the_machine_only_synced_ranges_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "j")
    monkeypatch.setattr(journal, "boot_id", lambda: "another boot")
    assert reopened(tmp_path / "j") == [(0, 100)]


def test_without_a_boot_id_only_synced_ranges_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "boot_id", lambda: "")
    written(tmp_path / "j")
    assert reopened(tmp_path / "j") == [(0, 100)]


@pytest.mark.parametrize(
    "tail", ["400 5", "500 400\n", "400 5000\n", "x y\n", "\0\0\0\n", "-1 5\n"]
)
def test_torn_and_senseless_lines_end_the_journal(tmp_path: Path, tail: str) -> None:
    written(tmp_path / "j")
    with (tmp_path / "j").open("a") as opened:
        opened.write(tail + ("600 700\n" if tail.endswith("\n") else ""))
    assert reopened(tmp_path / "j") == [(0, 100), (200, 300)]


@given(st.binary(max_size=300))
def test_any_bytes_in_a_journal_are_survived(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    path.write_bytes(data)
    assert all(0 <= start < end <= FILE.size for start, end in reopened(path))


def test_a_journal_of_another_content_counts_for_nothing(tmp_path: Path) -> None:
    written(tmp_path / "j")
    assert reopened(tmp_path / "j", RemoteFile("model.safetensors", 1000, "sha256", "b" * 64)) == []
