"""What may go from a volume, and what never does."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.hub import Hub, parse_fault
from tests.support.hub.command import fetch, files_in
from tests.support.hub.sample import SHARDS

from llama_weights.cli import app
from llama_weights.lock import Lock
from llama_weights.state import State

DAYS = 86_400.0


def gc(root: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["gc", str(root), *args])


@pytest.fixture
def root(hub: Hub, tmp_path: Path) -> Path:
    """A volume with a copy, Meta's originals of it, an abandoned fetch and one of this minute."""
    assert fetch(hub, tmp_path / "m/whole").code == 0
    shutil.copytree(tmp_path / "m/whole", tmp_path / "m/whole.original")
    hub.faults.append(parse_fault(f"500:on=cdn,match={SHARDS[0]}"))
    assert fetch(hub, tmp_path / "m/abandoned", "--retries", "1").code == 75
    assert (tmp_path / "m/abandoned/config.json").exists()
    shutil.copytree(tmp_path / "m/abandoned", tmp_path / "m/fresh")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/photo.jpg").write_bytes(b"not ours")
    age(tmp_path / "m/abandoned", tmp_path / "m/whole", tmp_path / "m/whole.original")
    return tmp_path


def age(*directories: Path) -> None:
    """Make them ten days old."""
    then = time.time() - 10 * DAYS
    for directory in directories:
        for path in [*directory.rglob("*"), directory]:
            os.utime(path, (then, then))


def names(root: Path) -> set[str]:
    return {path.name for path in (root / "m").iterdir()}


def test_abandoned_fetches_go_and_nothing_else(root: Path) -> None:
    before = files_in(root / "m/whole"), files_in(root / "m/fresh"), files_in(root / "other")
    shown = gc(root, "--dry-run")
    assert shown.exit_code == 0
    assert "m/abandoned" in shown.output and "unfinished" in shown.output
    assert "whole" not in shown.output and "fresh" not in shown.output
    assert "abandoned" in names(root)
    done = gc(root, "--yes")
    assert done.exit_code == 0, done.output
    assert names(root) == {"whole", "whole.original", "fresh"}
    after = files_in(root / "m/whole"), files_in(root / "m/fresh"), files_in(root / "other")
    assert after == before
    assert "Nothing to remove." in gc(root, "--yes").output


def test_how_long_is_the_users_to_say(root: Path) -> None:
    assert "Nothing to remove." in gc(root, "--older-than", "20").output
    assert "fresh" in gc(root, "--older-than", "0", "--dry-run").output


def test_a_published_copy_goes_only_by_its_name(root: Path) -> None:
    assert gc(root, "--remove", "m/whole", "--yes").exit_code == 0
    assert "whole" not in names(root)
    (root / "link").symlink_to(root / "m")
    for wrong in ("m/none", "other", "../../etc", ".", "m", "link/none"):
        refused = gc(root, "--remove", wrong, "--yes")
        assert refused.exit_code == 2
        assert "--remove" in refused.output


def test_a_copy_with_a_damaged_manifest_goes_by_its_name_too(root: Path) -> None:
    (root / "m/whole/manifest.json").write_text("{")
    age(root / "m/whole")
    assert "whole" not in gc(root, "--dry-run").output
    assert gc(root, "--remove", "m/whole", "--yes").exit_code == 0
    assert "whole" not in names(root)


@pytest.mark.parametrize("name", ["m/abandoned", "m/whole", "home"])
def test_files_of_others_stay_and_so_does_all_beside_them(root: Path, name: str) -> None:
    # "home": the trace of a fetch into a wrong directory that was killed at once.
    (root / "home/.fetch").mkdir(parents=True)
    (root / "home/.fetch/lock").write_text("{}")
    (root / name / "work").mkdir()
    (root / name / "work/thesis.txt").write_text("years of work")
    age(root / name)
    before = files_in(root / name)
    done = gc(root, "--yes", "--remove", name)
    assert f"{name} stays: no fetch has made work/thesis.txt" in done.output
    assert files_in(root / name) == before


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
    assert names(root) == {"whole", "whole.original", "abandoned"}


def test_a_removal_that_was_interrupted_is_gone_on_with(root: Path) -> None:
    whole = root / "m/whole"
    state = State(whole)
    state.path.mkdir()
    kept = files_in(whole).keys() - {"manifest.json"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(State, "_clear", _killed)
        with pytest.raises(KeyboardInterrupt):
            state.remove()
    assert files_in(whole).keys() == kept | {".fetch/plan.json"}, "no copy any more"
    age(whole)
    assert gc(root, "--yes").exit_code == 0
    assert "whole" not in names(root)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
