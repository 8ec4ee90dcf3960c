"""What the command says while it works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.models import metashards
from tests.support.models.metashards import Sizes

from llama_weights import progress
from llama_weights.cli import app


def test_progress_comes_in_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = Sizes(layers=8)
    shards = metashards.split(metashards.noise(sizes), sizes.head_dim, 8)
    source = metashards.checkpoint(
        tmp_path / "llama-3-8b", shards, sizes.params(), metashards.tiktoken(384)
    )
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.002)
    done = CliRunner().invoke(app, ["convert", str(source), str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    *lines, last = [json.loads(line) for line in done.output.splitlines()]
    assert lines, "no progress was shown"
    assert {line["phase"] for line in lines} == {"Converting"}
    assert {line["event"] for line in lines} == {"progress"}
    assert [line["bytesDone"] for line in lines] == sorted(line["bytesDone"] for line in lines)
    assert all(line["bytesTotal"] == last["bytes"] for line in lines)
