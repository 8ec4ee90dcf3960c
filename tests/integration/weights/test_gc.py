"""What may go from a volume, and what never does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.hub import Hub
from tests.support.hub.command import fetch, files_in

from llama_weights.cli import app
from llama_weights.lock import Lock

DAYS = 86_400.0


def gc(root: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["gc", str(root), *args])


@pytest.fixture
def root(hub: Hub, tmp_path: Path) -> Path:
    """A volume with a copy, an abandoned fetch, one under way, and Meta's originals of the copy."""
    assert fetch(hub, tmp_path / "m/whole").code == 0
    for name in ("abandoned", "fresh", "whole.original"):
        (tmp_path / "m" / name / ".fetch").mkdir(parents=True)
        (tmp_path / "m" / name / ".fetch/part").write_bytes(bytes(100_000))
    manifest = (tmp_path / "m/whole/manifest.json").read_bytes()
    (tmp_path / "m/whole.original/manifest.json").write_bytes(manifest)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/photo.jpg").write_bytes(b"not ours")
    old = time.time() - 3 * DAYS
    for name in ("abandoned", "whole.original", "whole"):
        for path in [*(tmp_path / "m" / name).rglob("*"), tmp_path / "m" / name]:
            os.utime(path, (old, old))
    return tmp_path


def names(root: Path) -> set[str]:
    return {path.name for path in (root / "m").iterdir()}


def test_abandoned_fetches_and_converted_originals_go_and_nothing_else(root: Path) -> None:
    before = files_in(root / "m/whole")
    shown = gc(root, "--dry-run")
    assert shown.exit_code == 0
    assert "abandoned" in shown.output and "unfinished" in shown.output
    assert "whole.original" in shown.output and "converted" in shown.output
    assert names(root) == {"whole", "abandoned", "fresh", "whole.original"}
    done = gc(root, "--yes")
    assert done.exit_code == 0, done.output
    assert names(root) == {"whole", "fresh"}
    assert files_in(root / "m/whole") == before
    assert (root / "other/photo.jpg").exists()
    assert "Nothing to remove." in gc(root, "--yes").output


def test_how_long_is_the_users_to_say(root: Path) -> None:
    assert "Nothing to remove." in gc(root, "--older-than", "5").output
    assert "fresh" in gc(root, "--older-than", "0", "--dry-run").output


def test_a_published_copy_goes_only_by_its_name(root: Path) -> None:
    assert gc(root, "--remove", "m/whole", "--yes").exit_code == 0
    assert "whole" not in names(root)
    for wrong in ("m/none", "other", "../../etc", "."):
        refused = gc(root, "--remove", wrong, "--yes")
        assert refused.exit_code == 2
        assert "--remove" in refused.output


def test_nothing_goes_without_a_word(root: Path) -> None:
    silent = gc(root)
    assert silent.exit_code == 2
    assert "--yes" in silent.output
    assert "abandoned" in names(root)


def test_a_directory_that_somebody_is_at_work_in_stays(root: Path) -> None:
    with Lock(root / "m/abandoned/.fetch/lock"):
        done = gc(root, "--older-than", "0", "--yes")
    assert done.exit_code == 1
    assert "somebody is at work there" in done.output
    assert names(root) == {"whole", "abandoned"}
