"""The volume fails at one stage after the other; the reason is told and the next run goes on."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from tests.support.failing import failing
from tests.support.hub import Hub
from tests.support.hub.command import Outcome, arguments, assert_complete, files_in, run
from tests.support.hub.sample import contents, repository

VERDICTS = {
    errno.ENOSPC: (1, "VolumeReady", "Full"),
    errno.EROFS: (1, "VolumeReady", "ReadOnly"),
    errno.EIO: (75, "Downloaded", "Failed"),
}
SIZE = 3000


def fetched(hub: Hub, directory: Path) -> Outcome:
    return run(*arguments(hub, directory), "--retries", "1", "--connections", "2")


def stages(hub: Hub, directory: Path) -> int:
    """How many calls a fetch makes that may fail."""
    with failing(errno.EIO, 1 << 30) as counted:
        assert_complete(fetched(hub, directory), hub, directory)
    return counted.calls


@pytest.mark.parametrize(
    "step", [5, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_a_volume_that_fails_at_any_stage(tmp_path: Path, step: int) -> None:
    wanted = contents(SIZE)
    with Hub([repository(SIZE)]) as hub:
        for first in range(0, stages(hub, tmp_path / "whole"), step):
            for code in VERDICTS if step == 1 else [list(VERDICTS)[first % 3]]:
                directory = tmp_path / f"{first}-{code}"
                with failing(code, first) as found:
                    outcome = fetched(hub, directory)
                assert found.calls > first
                files = files_in(directory).items()
                named = {name: data for name, data in files if not name.startswith(".fetch/")}
                manifest = named.pop("manifest.json", b"")
                assert named.items() <= wanted.items()
                # Once the manifest has its name, only what is left behind can still fail.
                if not (manifest and outcome.code == 0):
                    assert outcome.verdict == VERDICTS[code], (first, outcome.output)
                assert_complete(fetched(hub, directory), hub, directory)
