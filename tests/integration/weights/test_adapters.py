"""LoRA adapters as Jobs bring them: from a hub and from a directory, and what is refused before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support import adapters
from tests.support.hub import Hub, parse_fault
from tests.support.hub.command import PATIENCE, fetch_arguments, files_in, preflight, run
from tests.support.hub.repository import Repository

from llama_weights import adapter, manifest

REPO = "test/sql"


def hub_with(directory: Path, **more: bytes) -> Hub:
    contents = {**files_in(directory), "README.md": b"mine", **more}
    return Hub([Repository.of(REPO, contents)])


def test_an_adapter_is_looked_at_by_parts_and_fetched_whole(tmp_path: Path) -> None:
    source = adapters.write(tmp_path / "made")
    with hub_with(source) as hub:
        found = preflight(hub.url, REPO, "--adapter").result
        assert found["adapter"] == {
            "rank": adapters.RANK,
            "base": "test/tiny-llama",
            "layers": 2,
            "modules": [
                {"name": "o_proj", "inputs": 128, "outputs": 128},
                {"name": "q_proj", "inputs": 128, "outputs": 128},
            ],
        }
        target = tmp_path / "volume" / "adapter"
        wish = fetch_arguments(hub.url, REPO, found["commit"], target)
        brought = run(*wish, *PATIENCE, "--adapter").result
    made = manifest.load(target)
    assert made is not None
    assert (made.digest, made.format) == (brought["digest"], "lora")
    assert found["bytes"] == brought["bytes"] == made.total
    for name in (adapter.CONFIG, adapter.TENSORS):
        assert (target / name).read_bytes() == (source / name).read_bytes()
    assert not (target / "README.md").exists()


def test_a_changed_byte_is_not_published(tmp_path: Path) -> None:
    with hub_with(adapters.write(tmp_path / "made")) as hub:
        commit = hub.repositories[REPO].commit
        hub.faults.append(parse_fault(f"corrupt:on=cdn,match={adapter.TENSORS},times=9"))
        target = tmp_path / "adapter"
        done = run(*fetch_arguments(hub.url, REPO, commit, target), *PATIENCE, "--adapter")
    assert done.result["reason"] == "ChecksumMismatch"
    assert manifest.load(target) is None


def test_a_model_is_no_adapter_and_an_adapter_no_model(tmp_path: Path) -> None:
    with hub_with(adapters.write(tmp_path / "made")) as hub:
        assert "a LoRA adapter" in preflight(hub.url, REPO).result["message"]
    with Hub([Repository.of(REPO, {"config.json": b"{}", "model.safetensors": b""})]) as hub:
        found = preflight(hub.url, REPO, "--adapter").result
    assert found["reason"] == "FormatUnsupported"
    assert "no adapter_config.json" in found["message"]


@pytest.mark.parametrize("refused", [{"use_dora": True}, {"peft_type": "IA3"}])
def test_what_vllm_refuses_is_refused_before_it_is_fetched(
    tmp_path: Path, refused: dict[str, Any]
) -> None:
    with hub_with(adapters.write(tmp_path / "made", **refused)) as hub:
        found = preflight(hub.url, REPO, "--adapter")
    assert (found.code, found.result["reason"]) == (1, "FormatUnsupported")


def test_a_directory_is_looked_at_and_copied(tmp_path: Path) -> None:
    source = adapters.write(tmp_path / "made")
    found = run("inspect", str(source), "--adapter").result
    copied = run("copy", str(source), str(tmp_path / "adapter")).result
    assert copied["ok"] is True
    assert copied["commit"] == found["commit"]
    assert run("verify", str(tmp_path / "adapter")).result["digest"] == copied["digest"]
    gone = run("gc", str(tmp_path), "--remove=adapter", "--yes")
    assert gone.code == 0, gone.output
    assert not (tmp_path / "adapter").exists()
    assert source.is_dir()
