"""Files that somebody put on a volume: looked at, read, never written to."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from tests.integration.weights.test_meta import SIZES, tiny
from tests.support.hub.command import files_in, run
from tests.support.hub.sample import CONFIG
from tests.support.models import metashards

from llama_operator.catalog import entry

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def safetensors(**tensors: int) -> bytes:
    """A file with tensors of so many bytes."""
    header, place = {}, 0
    for name, size in tensors.items():
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(place)


@pytest.fixture
def placed(tmp_path: Path) -> Path:
    """A checkpoint of two shards and a README, as a person copies it."""
    found = tmp_path / "mine"
    found.mkdir()
    (found / "config.json").write_text(json.dumps(CONFIG))
    (found / "tokenizer.json").write_text("{}")
    (found / "README.md").write_text("# Mine")
    index = {"weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}
    (found / "model.safetensors.index.json").write_text(json.dumps(index))
    (found / SHARDS[0]).write_bytes(safetensors(a=1000))
    (found / SHARDS[1]).write_bytes(safetensors(b=2000))
    return found


def test_a_look_says_what_it_is(placed: Path) -> None:
    before = files_in(placed)
    found = run("inspect", str(placed))
    assert found.code == 0, found.output
    assert found.result["format"] == "safetensors"
    assert found.result["files"] == 5, "the README is none of the model's"
    assert found.result["shape"]["numLayers"] == CONFIG["num_hidden_layers"]
    assert files_in(placed) == before


def test_the_digest_is_of_every_byte_and_tells_of_a_change(placed: Path) -> None:
    before = files_in(placed)
    first = run("adopt", str(placed))
    assert first.code == 0, first.output
    digest = first.result["digest"]
    assert run("adopt", str(placed), "--digest", digest).code == 0
    assert files_in(placed) == before
    data = bytearray((placed / SHARDS[1]).read_bytes())
    data[-1] ^= 1
    (placed / SHARDS[1]).write_bytes(data)
    changed = run("adopt", str(placed), "--digest", digest)
    assert changed.verdict == (1, "Verified", "ChecksumMismatch")


def test_links_that_leave_the_directory_are_refused(placed: Path) -> None:
    """As the cache of huggingface_hub has them; servers mount the directory alone."""
    blobs = placed.parent / "blobs"
    blobs.mkdir()
    (placed / SHARDS[1]).rename(blobs / "d1")
    (placed / SHARDS[1]).symlink_to("../blobs/d1")
    for command in ("inspect", "adopt"):
        refused = run(command, str(placed))
        assert refused.verdict == (1, "Verified", "FilesMissing"), refused.output
        assert "cp -rL" in refused.output


def test_links_within_the_directory_are_files_like_others(placed: Path) -> None:
    (placed / SHARDS[1]).rename(placed / "part")
    (placed / SHARDS[1]).symlink_to("part")
    assert run("adopt", str(placed)).code == 0


def test_a_copy_of_our_own_is_held_against_its_manifest(tmp_path: Path) -> None:
    shards = metashards.split(metashards.noise(SIZES), SIZES.head_dim, 1)
    tokenizer = metashards.tiktoken(3840)
    source = metashards.checkpoint(tmp_path / "llama-3-8b", shards, SIZES.params(), tokenizer)
    made = run("convert", str(source), str(tmp_path / "out"))
    found = run("adopt", str(tmp_path / "out"))
    assert found.result["digest"] == made.result["digest"]


def test_metas_own_files_are_recognised(tmp_path: Path) -> None:
    shards = metashards.split(metashards.noise(SIZES), SIZES.head_dim, 2)
    tokenizer = metashards.tiktoken(3840)
    source = metashards.checkpoint(tmp_path / "pth", shards, SIZES.params(), tokenizer)
    found = run("inspect", str(source), "--entry", entry.dumps(tiny()))
    assert (found.code, found.result["format"]) == (0, "meta"), found.output
    nameless = run("inspect", str(source))
    assert nameless.verdict == (1, "Converted", "FormatUnsupported")
    assert "catalogue" in nameless.result["message"]
    other = run("inspect", str(source), "--model", "llama-3-8b")
    assert other.verdict == (1, "Converted", "CorruptCheckpoint")


@pytest.mark.parametrize(
    ("spoil", "condition", "reason"),
    [
        ({SHARDS[1]: None}, "Verified", "FilesMissing"),
        ({SHARDS[1]: safetensors(c=2000)}, "Verified", "FilesMissing"),
        ({SHARDS[1]: safetensors(b=2000)[:-1]}, "Converted", "CorruptCheckpoint"),
        ({SHARDS[1]: b"\xff" * 100}, "Converted", "CorruptCheckpoint"),
        ({SHARDS[1]: struct.pack("<Q", 10) + b"[1, 2, 3] "}, "Converted", "CorruptCheckpoint"),
        ({"config.json": b"<html>"}, "Converted", "CorruptCheckpoint"),
        ({"config.json": None}, "Converted", "FormatUnsupported"),
        ({"model.safetensors.index.json": b"{}"}, "Verified", "FilesMissing"),
    ],
)
def test_what_is_not_whole(
    placed: Path, spoil: dict[str, bytes | None], condition: str, reason: str
) -> None:
    for name, data in spoil.items():
        if data is None:
            (placed / name).unlink()
        else:
            (placed / name).write_bytes(data)
    found = run("inspect", str(placed))
    assert found.verdict == (1, condition, reason), found.output


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    found = run("inspect", str(tmp_path / "none"))
    assert found.verdict == (1, "Verified", "FilesMissing")
    assert "spec.source.claim.path" in found.result["message"]
