"""Full, read-only and foreign volumes; leftovers of earlier fetches."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.hub import Hub, Repository, parse_fault
from tests.support.hub.command import (
    MIB,
    PATIENCE,
    Command,
    arguments,
    assert_complete,
    fetch,
    files_in,
    wait_for,
)
from tests.support.hub.sample import REPO, SHARDS, contents, repository


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB."""
    mounted = tmp_path / "volume"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(mounted)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def test_a_volume_that_is_too_small_is_told_before_a_byte_is_fetched(
    small_volume: Path,
) -> None:
    with Hub([repository(30 * MIB)]) as hub:
        outcome = fetch(hub, small_volume / "d")
        assert outcome.verdict == (1, "VolumeReady", "Full")
        assert hub.sent() == 0
    assert "76.0 MiB more needed" in outcome.result["message"]
    assert "spec.storage.size" in outcome.result["message"]
    assert list(small_volume.iterdir()) == []


def test_a_volume_that_fills_up_meanwhile(small_volume: Path) -> None:
    shards = {
        f"model-0000{number}-of-00006.safetensors": bytes([number]) * (5 * MIB)
        for number in range(1, 7)
    }
    plain = {"config.json": contents()["config.json"], **shards}
    slow = parse_fault(f"slow:on=cdn,rate={8 * MIB}")
    with Hub([Repository.of(REPO, plain)], faults=[slow]) as hub:
        running = Command(*arguments(hub, small_volume / "d"), "--connections", "1", *PATIENCE)
        wait_for(lambda: hub.seen("cdn"))
        # Space for the first files is reserved by now; another tenant takes all the rest.
        with contextlib.suppress(OSError), (small_volume / "other").open("wb", 0) as other:
            while other.write(bytes(MIB)):
                pass
        outcome = running.wait()
        assert outcome.verdict == (1, "VolumeReady", "Full"), outcome.output
        assert "free of 48.0 MiB" in outcome.result["message"]
        assert not (small_volume / "d" / "manifest.json").exists()

        (small_volume / "other").unlink()
        hub.faults.clear()
        assert_complete(fetch(hub, small_volume / "d"), hub, small_volume / "d")


@pytest.fixture
def sealed_volume(tmp_path: Path) -> Iterator[Path]:
    """A directory that this process cannot write to."""
    sealed = tmp_path / "sealed"
    sealed.mkdir(mode=0o555)
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(sealed)]
    if os.geteuid():
        yield sealed
    elif subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("root writes everywhere, and nothing can be mounted here")
    else:
        yield sealed
        subprocess.run(["umount", "--lazy", str(sealed)], check=True)


def test_a_volume_that_cannot_be_written(hub: Hub, sealed_volume: Path) -> None:
    outcome = fetch(hub, sealed_volume / "d")
    assert outcome.verdict == (1, "VolumeReady", "ReadOnly"), outcome.output
    assert f"uid {os.getuid()}" in outcome.result["message"]
    assert list(sealed_volume.iterdir()) == []


def test_files_of_others_are_never_removed(hub: Hub, tmp_path: Path) -> None:
    directory = tmp_path / "home"
    directory.mkdir()
    (directory / "thesis.txt").write_text("years of work")
    outcome = fetch(hub, directory)
    assert outcome.verdict == (1, "Verified", "UnexpectedFiles")
    assert "thesis.txt" in outcome.result["message"]
    assert files_in(directory) == {"thesis.txt": b"years of work"}


def test_what_an_earlier_fetch_of_another_commit_left_is_cleared_away(
    hub: Hub, tmp_path: Path
) -> None:
    directory = tmp_path / "d"
    other = Repository.of(REPO, {**contents(200_000), "tokenizer.model": b"old"})
    with Hub([other], faults=[parse_fault(f"500:on=cdn,match={SHARDS[1]}")]) as old:
        assert fetch(old, directory).code == 75
    assert (directory / "tokenizer.model").exists()
    assert_complete(fetch(hub, directory), hub, directory)


def test_a_finished_copy_of_another_commit_is_not_touched(hub: Hub, tmp_path: Path) -> None:
    with Hub([repository(1000)]) as old:
        assert fetch(old, tmp_path / "d").code == 0
    before = files_in(tmp_path)
    assert fetch(hub, tmp_path / "d").verdict == (1, "Downloaded", "Failed")
    assert files_in(tmp_path) == before


def test_a_damaged_copy_is_mended_with_what_is_missing(hub: Hub, tmp_path: Path) -> None:
    directory = tmp_path / "d"
    digest = fetch(hub, directory).result["digest"]
    (directory / SHARDS[0]).unlink()
    hub.requests.clear()
    outcome = fetch(hub, directory)
    assert_complete(outcome, hub, directory)
    assert outcome.result["digest"] == digest
    assert hub.sent() == len(contents()[SHARDS[0]])
