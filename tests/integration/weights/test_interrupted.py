"""Killed, stopped or started twice: the bytes are the same and few come twice."""

from __future__ import annotations

import random
import time
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

LONG = pytest.mark.timeout(1200)


@pytest.mark.parametrize(
    ("kills", "size"),
    [(20, 24 * MIB), pytest.param(200, 192 * MIB, marks=[pytest.mark.slow, LONG])],
)
def test_killed_at_random_points_it_ends_with_the_same_bytes(
    tmp_path: Path, kills: int, size: int
) -> None:
    rate, connections = MIB, 4
    directory, chance = tmp_path / "d", random.Random(7)  # noqa: S311
    with Hub([repository(size)], faults=[parse_fault(f"slow:on=cdn,rate={rate}")]) as hub:
        command = [*arguments(hub, directory), "--connections", str(connections), *PATIENCE]
        for _ in range(kills):
            seen = len(hub.requests)
            running = Command(*command)
            wait_for(lambda seen=seen: len(hub.requests) > seen + 3)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.7))
            assert running.process.poll() is None
            running.kill()
            assert not (directory / "manifest.json").exists()
        hub.faults.clear()
        assert_complete(run(*command), hub, directory)
        twice = hub.sent() - sum(hub.repositories[REPO].blobs[name].size for name in WANTED)
        # Per kill and connection: a second that was not yet noted, a buffer, and the sockets.
        assert 0 < twice < kills * connections * (rate + 2 * MIB)
        assert twice < kills * 64 * MIB


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
