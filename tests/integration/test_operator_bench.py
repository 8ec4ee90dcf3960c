"""The smallest size of `make bench-operator`: what is counted is judged, what is timed is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.bench.operator import budget_of, measured

pytestmark = pytest.mark.cluster
COUNT = 100


def test_a_hundred_deployments_are_written_once_and_then_left_alone(tmp_path: Path) -> None:
    figures, calls = asyncio.run(measured(tmp_path, COUNT, 5.0, controllers=True, edits=20))
    verdicts = figures.verdicts([], budget_of(COUNT))
    for each in verdicts:
        each.shown()
    assert [each for each in verdicts if each.counted and not each.kept] == [], calls
