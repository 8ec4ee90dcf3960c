"""The volume fails at one stage of a conversion after the other; the next run goes on."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest
from tests.support.failing import failing
from tests.support.models import metashards
from tests.support.models.metashards import Sizes

from llama_weights.convert.convert import Order, convert
from llama_weights.errors import WeightsError
from llama_weights.meter import Meter

REASONS = {errno.ENOSPC: "Full", errno.EROFS: "ReadOnly", errno.EIO: "Failed"}


def made(source: Path, out: Path) -> str:
    order = Order(source, out, "llama-3-8b", jobs=2, file_limit=60_000)
    return convert(order, Meter(), threading.Event()).digest


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.glob("*") if path.is_file()}


@pytest.mark.parametrize(
    "step", [5, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_a_volume_that_fails_at_any_stage(tmp_path: Path, step: int) -> None:
    sizes = Sizes(layers=1)
    shards = metashards.split(metashards.noise(sizes), sizes.head_dim, 2)
    tokenizer = metashards.tiktoken(384)
    source = metashards.checkpoint(tmp_path / "in", shards, sizes.params(), tokenizer)
    with failing(errno.EIO, 1 << 30) as counted:
        digest = made(source, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    assert counted.calls > 30
    for first in range(0, counted.calls, step):
        for code in REASONS if step == 1 else [list(REASONS)[first % 3]]:
            out = tmp_path / f"{first}-{code}"
            with failing(code, first):
                try:
                    # Once the manifest has its name, only what is left behind can still fail.
                    assert made(source, out) == digest
                    assert "manifest.json" in contents(out)
                except WeightsError as error:
                    assert error.reason == REASONS[code], (first, error)
            assert contents(out).items() <= expected.items()
            assert made(source, out) == digest
            assert contents(out) == expected
            assert {path.name for path in out.iterdir()} == expected.keys()
