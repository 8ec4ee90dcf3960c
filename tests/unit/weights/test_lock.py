"""One writer per directory: who waits, who takes over, who gives up."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from llama_weights import lock
from llama_weights.errors import DownloadError
from llama_weights.journal import boot_id
from llama_weights.lock import Lock


def test_a_second_writer_is_told_the_owner(tmp_path: Path) -> None:
    path = tmp_path / ".fetch" / "lock"
    with Lock(path), pytest.raises(DownloadError) as caught, Lock(path):
        pass
    assert (caught.value.reason, caught.value.temporary) == ("Locked", True)
    assert lock.read(path) == {}  # and gone with its owner
    with Lock(path):
        pass


def elsewhere(path: Path, beat: int = 1) -> None:
    """The lock of a process on another node."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"owner": "node-b:7", "nonce": "n", "boot": "b", "beat": beat}))


def test_a_silent_owner_on_another_node_is_taken_over_after_its_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    elsewhere(path)
    began = time.monotonic()
    with Lock(path, ttl=0.6):
        assert time.monotonic() - began >= 0.5
        assert lock.read(path)["owner"] != "node-b:7"


def test_a_beating_owner_on_another_node_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    elsewhere(path)
    threading.Timer(0.2, elsewhere, (path, 2)).start()
    with pytest.raises(DownloadError, match="node-b:7"), Lock(path, ttl=5):
        pass


def test_a_dead_owner_on_this_machine_is_taken_over_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(json.dumps({"owner": "dead:1", "nonce": "n", "boot": boot_id()}))
    began = time.monotonic()
    with Lock(path, ttl=60):
        assert time.monotonic() - began < 1


def test_an_owner_that_was_overtaken_learns_it_and_leaves_the_new_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path) as held:
        held.still_ours()
        elsewhere(path)
        with pytest.raises(DownloadError, match="node-b:7"):
            held.still_ours()
    assert lock.read(path)["owner"] == "node-b:7"


def test_the_heart_beats(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path, ttl=0.2):
        time.sleep(0.4)
        assert lock.read(path)["beat"] > 2
