"""A listing is a stranger's text: names, links and formats that must not get through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.hub import Hub, Repository
from tests.support.hub.command import (
    assert_complete,
    fetch,
    preflight,
)
from tests.support.hub.repository import blob
from tests.support.hub.sample import REPO, SHARDS, WANTED, contents, repository


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.safetensors",
        "/tmp/absolute.safetensors",
        "a/../../b.json",
        "..\\up.json",
        "manifest.json",
        ".fetch/lock",
        "new\nline.json",
        "CONFIG.json",
        "C:config.json",
    ],
)
def test_a_hostile_name_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    hostile = Repository.of(REPO, {**contents(1000), name: b"x"})
    with Hub([hostile]) as hub:
        for outcome in (preflight(hub.url, REPO), fetch(hub, tmp_path / "in" / "d")):
            assert outcome.verdict == (1, "Converted", "CorruptCheckpoint"), outcome.output
    assert list(tmp_path.rglob("*")) == []


def test_a_link_in_the_listing_is_refused(tmp_path: Path) -> None:
    hostile = repository(1000)
    hostile.blobs["tokenizer.model"] = blob("tokenizer.model", b"/etc/passwd", kind="symlink")
    with Hub([hostile]) as hub:
        outcome = fetch(hub, tmp_path / "d")
    assert outcome.verdict == (1, "Converted", "CorruptCheckpoint")
    assert list(tmp_path.iterdir()) == []


def test_a_link_on_the_volume_is_not_written_through(hub: Hub, tmp_path: Path) -> None:
    victim, untouched = tmp_path / "victim", bytes(len(contents()[SHARDS[0]]))
    victim.write_bytes(untouched)
    directory = tmp_path / "d"
    (directory / ".fetch").mkdir(parents=True)
    # As an interrupted fetch of the same leaves it, but for the link.
    plan = {"repo": REPO, "commit": hub.repositories[REPO].commit, "files": list(WANTED)}
    (directory / ".fetch" / "plan.json").write_text(json.dumps(plan))
    (directory / SHARDS[0]).symlink_to(victim)
    assert_complete(fetch(hub, directory), hub, directory)
    assert victim.read_bytes() == untouched
    assert not (directory / SHARDS[0]).is_symlink()


@pytest.mark.parametrize(
    ("files", "reason", "words"),
    [
        (
            {"config.json": b"{}", "original/consolidated.00.pth": b"x"},
            "FormatUnsupported",
            "1 .pth",
        ),
        ({"model.gguf": b"x"}, "FormatUnsupported", "1 .gguf"),
        ({"adapter_model.safetensors": b"x"}, "FormatUnsupported", "LoRA"),
        ({"model.safetensors": b"x"}, "FormatUnsupported", "config.json"),
        ({"model.safetensors": b"x", "config.json": b"[]"}, "CorruptCheckpoint", "list"),
        ({"model.safetensors": b"x", "config.json": b"oops"}, "CorruptCheckpoint", "oops"),
        (
            {"model.safetensors": b"x", "config.json": b'{"architectures": ["QwenModel"]}'},
            "FormatUnsupported",
            "QwenModel",
        ),
    ],
)
def test_a_repository_that_vllm_cannot_load(
    files: dict[str, bytes], reason: str, words: str
) -> None:
    with Hub([Repository.of(REPO, files)]) as hub:
        outcome = preflight(hub.url, REPO)
    assert outcome.verdict == (1, "Converted", reason)
    assert words in outcome.result["message"]


def test_an_index_that_names_what_is_not_there(tmp_path: Path) -> None:
    index = json.dumps({"weight_map": {"w": "model-00003-of-00002.safetensors"}}).encode()
    broken = Repository.of(REPO, {**contents(1000), "model.safetensors.index.json": index})
    with Hub([broken]) as hub:
        outcome = fetch(hub, tmp_path / "d")
    assert outcome.verdict == (1, "Verified", "FilesMissing")
    assert not (tmp_path / "d" / "manifest.json").exists()
