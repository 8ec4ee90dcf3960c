"""One connection that crawls must not hold back a fetch that is otherwise done."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.hub import Hub, parse_fault
from tests.support.hub.command import MIB, arguments, assert_complete, run
from tests.support.hub.sample import REPO, SHARDS, repository

SIZE, CRAWL = 24 * MIB, MIB // 4
# At this rate the rest of one range would take half a minute.
FAULTS = [f"slow:on=cdn,match={SHARDS[0]},rate={CRAWL},times=1"]


def test_the_rest_of_a_straggler_comes_over_another_connection(tmp_path: Path) -> None:
    with Hub([repository(SIZE)], faults=[parse_fault(each) for each in FAULTS]) as hub:
        began = time.monotonic()
        outcome = run(*arguments(hub, tmp_path / "d"), "--connections", "4")
        seconds = time.monotonic() - began
        assert_complete(outcome, hub, tmp_path / "d")
        assert seconds < 12, seconds
        ranges = hub.seen("cdn", SHARDS[0])
        assert len(ranges) <= 3 + 2, "one more request, or two"
        whole = sum(hub.repositories[REPO].blobs[name].size for name in SHARDS)
        assert hub.sent() - whole < 9 * MIB, "only the rest of one range came twice"


def test_a_spare_that_is_refused_costs_nothing(tmp_path: Path) -> None:
    faults = [
        f"slow:on=cdn,match={SHARDS[0]},rate={MIB},times=1",
        # Its three ranges are answered, and no fourth request.
        f"403:on=file,match={SHARDS[0]},skip=3",
    ]
    with Hub([repository(SIZE)], faults=[parse_fault(each) for each in faults]) as hub:
        outcome = run(*arguments(hub, tmp_path / "d"), "--connections", "4", "--retries", "1")
        assert_complete(outcome, hub, tmp_path / "d")
        assert 0 < hub.faults[1].hits - 3 < 8, "asked for now and then, not all the time"


def test_nobody_is_hurried_where_all_are_slow(tmp_path: Path) -> None:
    slow = parse_fault(f"slow:on=cdn,rate={2 * MIB}")
    with Hub([repository(SIZE // 2)], faults=[slow]) as hub:
        outcome = run(*arguments(hub, tmp_path / "d"), "--connections", "4")
        assert_complete(outcome, hub, tmp_path / "d")
        assert len(hub.seen("cdn")) == 4, "two ranges of each shard and no more"
