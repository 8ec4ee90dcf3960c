"""Killed, stopped or started twice: the bytes are the same and few come twice."""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.hub import Hub, parse_fault
from tests.support.hub.command import (
    MIB,
    PATIENCE,
    Command,
    arguments,
    assert_complete,
    fetch,
    run,
    wait_for,
)
from tests.support.hub.sample import REPO, SHARDS, WANTED, repository

from llama_weights.files import RemoteFile
from llama_weights.journal import Journal

LONG = pytest.mark.timeout(1200)


@dataclass
class Victim:
    """A directory that fetches are killed at, and what is known of it."""

    hub: Hub
    directory: Path
    seen: set[tuple[str, int]] = field(default_factory=set)

    def held(self) -> dict[str, int]:
        """Bytes of each shard that the next run will not ask for."""
        return {name: self._held(name) for name in SHARDS}

    def _held(self, name: str) -> int:
        blob = self.hub.repositories[REPO].blobs[name]
        if (self.directory / name).exists():
            return blob.size
        stem = hashlib.sha256(name.encode()).hexdigest()[:16]
        file = RemoteFile(name, blob.size, "sha256", blob.sha256)
        return Journal(self.directory / f".fetch/{stem}.journal", file).read().total

    def sent(self) -> dict[str, int]:
        """Bytes of each shard that the hub has sent so far."""
        return {name: self.hub.sent(name) for name in SHARDS}

    def check_names(self) -> None:
        """No file has its name before its hash was right."""
        assert not (self.directory / "manifest.json").exists()
        for path in self.directory.iterdir():
            key = path.name, path.stat().st_ino
            if path.is_file() and key not in self.seen:
                found = hashlib.sha256(path.read_bytes()).hexdigest()
                assert found == self.hub.repositories[REPO].blobs[path.name].sha256
                self.seen.add(key)


@pytest.mark.parametrize(
    ("kills", "size", "most"),
    [
        # Three connections to a file; each has 2 MiB unrecorded at the most, one in its buffer, and
        # some in its socket.
        pytest.param(20, 24 * MIB, 16 * MIB, id="20"),
        pytest.param(200, 96 * MIB, 64 * MIB, marks=[pytest.mark.slow, LONG], id="200"),
    ],
)
def test_killed_at_random_points_it_ends_with_the_same_bytes(
    tmp_path: Path, kills: int, size: int, most: int
) -> None:
    chance, killed, kept = random.Random(7), 0, 0  # noqa: S311
    with Hub([repository(size)], faults=[parse_fault(f"slow:on=cdn,rate={8 * MIB}")]) as hub:
        victim = Victim(hub, tmp_path / "d")
        command = [*arguments(hub, victim.directory), *PATIENCE]
        while killed < kills:
            before, sent = victim.held(), victim.sent()
            enough = hub.sent() + chance.uniform(0, size)
            running = Command(*command)
            wait_for(lambda: hub.sent() >= enough or running.process.poll() is not None)  # noqa: B023
            if running.process.poll() is not None:
                assert_complete(running.wait(), hub, victim.directory)
                shutil.rmtree(victim.directory)
                continue
            running.kill()
            killed += 1
            victim.check_names()
            for name, now in victim.held().items():
                lost = victim.sent()[name] - sent[name] - (now - before[name])
                assert lost <= most, (name, lost, before, victim.held())
                kept += now - before[name]
        assert kept > size, "little was kept for the next run"
        hub.faults.clear()
        assert_complete(run(*command), hub, victim.directory)


def test_a_signal_ends_it_soon_and_costs_nothing(tmp_path: Path) -> None:
    size, rate, connections = 16 * MIB, 2 * MIB, 4
    directory = tmp_path / "d"
    with Hub([repository(size)], faults=[parse_fault(f"slow:on=cdn,rate={rate}")]) as hub:
        command = [*arguments(hub, directory), "--connections", str(connections), *PATIENCE]
        running = Command(*command)
        wait_for(lambda: hub.sent() > 6 * MIB)
        running.terminate()
        asked = time.monotonic()
        outcome = running.wait()
        assert time.monotonic() - asked < 5
        assert outcome.verdict == (75, "Downloaded", "Downloading"), outcome.output

        hub.faults.clear()
        assert_complete(run(*command), hub, directory)
        twice = hub.sent() - sum(hub.repositories[REPO].blobs[name].size for name in WANTED)
        assert twice <= connections * 2 * MIB


def test_a_second_job_on_the_volume_waits_its_turn(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    with Hub([repository(8 * MIB)], faults=[parse_fault(f"slow:on=cdn,rate={4 * MIB}")]) as hub:
        first = Command(*arguments(hub, directory), *PATIENCE)
        wait_for(lambda: all(hub.seen("cdn", shard) for shard in SHARDS))
        second = fetch(hub, directory)
        # The small files may have been published meanwhile; the large ones are still under way.
        assert len(list((directory / ".fetch").glob("*.part"))) >= len(SHARDS)
        assert second.verdict == (75, "Downloaded", "Locked"), second.output
        assert str(first.process.pid) in second.result["message"]
        assert_complete(first.wait(), hub, directory)


def test_the_lock_of_a_killed_job_does_not_delay_the_next(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    with Hub([repository(8 * MIB)], faults=[parse_fault(f"slow:on=cdn,rate={4 * MIB}")]) as hub:
        first = Command(*arguments(hub, directory), *PATIENCE)
        wait_for(lambda: hub.seen("cdn"))
        first.kill()
        assert (directory / ".fetch" / "lock").exists()
        hub.faults.clear()
        began = time.monotonic()
        assert_complete(fetch(hub, directory), hub, directory)
        assert time.monotonic() - began < 10
