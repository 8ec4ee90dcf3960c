"""Cases of `make bench-rollout`: full GPUs, another image there, and a bad flag where one is free."""

from __future__ import annotations

import asyncio

import pytest
from tests.bench.rollout import played
from tests.bench.rollout_cases import IMAGE, IN_PLACE, REJECTED

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_a_rollout_on_full_gpus_ends_and_a_bad_one_goes_back_without_touching_what_runs() -> None:
    outcomes = asyncio.run(played([IN_PLACE, IMAGE, REJECTED]))
    assert [outcome.failures for outcome in outcomes] == [[], [], []]
    full, image, rejected = outcomes
    assert (full.stopped, full.remade) == (2, 2)
    assert (image.stopped, image.remade) == (2, 2)
    assert (rejected.stopped, rejected.remade) == (0, 0)
    revision = rejected.status["revision"]
    assert revision["rejected"] == revision["update"] != revision["lastGood"]
