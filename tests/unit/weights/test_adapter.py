"""Adapters are judged by their config and tensors, before and whatever they are called."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support import adapters

from llama_weights import adapter, manifest
from llama_weights.errors import WeightsError
from llama_weights.fetch import Wish, fetch
from llama_weights.files import RemoteFile
from llama_weights.meter import Meter
from llama_weights.retry import Patience, Policy
from llama_weights.sources import folder

CONFIG = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "meta-llama/Llama-3.1-8B"}


def tensors(layer: int = 0, kind: str = "q_proj", rank: int = 8) -> dict[str, Any]:
    name = f"base_model.model.model.layers.{layer}.self_attn.{kind}"
    return {
        f"{name}.lora_A.weight": {"shape": [rank, 4096]},
        f"{name}.lora_B.weight": {"shape": [4096, rank]},
    }


def test_facts_come_from_the_tensors() -> None:
    many = {**tensors(0), **tensors(31), **tensors(3, "v_proj", 64)}
    found = adapter.facts(CONFIG, many)
    assert found == {
        "rank": 64,
        "base": "meta-llama/Llama-3.1-8B",
        "layers": 32,
        "modules": [
            {"name": "q_proj", "inputs": 4096, "outputs": 4096},
            {"name": "v_proj", "inputs": 4096, "outputs": 4096},
        ],
    }


@pytest.mark.parametrize(
    ("name", "kind", "layers"),
    [
        ("base_model.model.model.layers.7.mlp.down_proj.lora_A.weight", "down_proj", 8),
        ("base_model.model.lm_head.lora_A.weight", "lm_head", 0),
        (
            "base_model.model.language_model.model.layers.2.self_attn.o_proj.lora_A.weight",
            "o_proj",
            3,
        ),
    ],
)
def test_names_of_tensors(name: str, kind: str, layers: int) -> None:
    pair = {name: {"shape": [8, 4]}, name.replace("lora_A", "lora_B"): {"shape": [4, 8]}}
    found = adapter.facts(CONFIG, pair)
    assert (found["modules"][0]["name"], found["layers"]) == (kind, layers)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"modules_to_save": ["lm_head"]}, "whole layers"),
        ({"r": 0}, "r is '0'"),
        ({"r": "8"}, "not a rank"),
    ],
)
def test_what_vllm_would_not_load_is_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        adapter.facts({**CONFIG, **config}, tensors())


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "changes 0 kinds"),
        ({"model.embed_tokens.weight": {"shape": [1, 1]}}, "none of a LoRA adapter"),
        ({"a.q_proj.lora_A.weight": {"shape": [8, 4]}}, "no pair"),
        ({**tensors(), "a.k_proj.lora_A.weight": {"shape": [8]}}, "no matrix"),
        ({**tensors(), "a.k_proj.lora_A.weight": 5}, "no matrix"),
    ],
)
def test_tensors_that_are_none_of_an_adapter(found: dict[str, Any], said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        adapter.facts(CONFIG, found)


def listed(*names: str) -> list[RemoteFile]:
    return [RemoteFile(name, 10, "sha256", "") for name in names]


def test_two_files_are_fetched_and_no_pickles() -> None:
    every = listed(
        "README.md", adapter.CONFIG, adapter.TENSORS, "training_args.bin", "a/b.safetensors"
    )
    assert [file.path for file in adapter.select(every)] == [adapter.CONFIG, adapter.TENSORS]
    with pytest.raises(WeightsError, match=r"no adapter_model\.safetensors .*adapter_model\.bin"):
        adapter.select(listed(adapter.CONFIG, "adapter_model.bin"))


def test_a_directory_is_looked_at_and_copied(tmp_path: Path) -> None:
    source = adapters.write(tmp_path / "mine")
    found = folder.look(source)
    assert found["adapter"]["rank"] == adapters.RANK
    target = tmp_path / "volume" / ("a" * 16)
    made = fetch(Wish(target, 2), folder.Folder(source, threading.Event()), Meter(), _patience())
    assert made == manifest.load(target)
    assert (made.commit, made.format, made.total) == (found["commit"], "lora", found["bytes"])
    for name in (adapter.CONFIG, adapter.TENSORS):
        assert (target / name).read_bytes() == (source / name).read_bytes()


def test_another_adapter_has_another_identity(tmp_path: Path) -> None:
    one, two = adapters.write(tmp_path / "1"), adapters.write(tmp_path / "2", rank=8)
    assert folder.identity(one) != folder.identity(two)


def test_what_is_no_adapter_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no directory 'gone'"):
        folder.look(tmp_path / "gone")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"no adapter_config\.json .*config\.json"):
        folder.look(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\xff" * 64, (3).to_bytes(8, "little") + b"abc"])
def test_a_header_of_a_stranger(tmp_path: Path, data: bytes) -> None:
    adapters.write(tmp_path)
    (tmp_path / adapter.TENSORS).write_bytes(data)
    with pytest.raises(WeightsError, match="header"):
        folder.look(tmp_path)


def _patience() -> Patience:
    return Patience(Policy(), threading.Event())


def test_the_config_of_a_stranger(tmp_path: Path) -> None:
    adapters.write(tmp_path)
    (tmp_path / adapter.CONFIG).write_text(json.dumps([1]))
    with pytest.raises(WeightsError, match="JSON list"):
        folder.look(tmp_path)


def test_links_are_followed_within_the_volume_alone(tmp_path: Path) -> None:
    kept = adapters.write(tmp_path / "blobs")
    links = tmp_path / "snapshot"
    links.mkdir()
    for name in (adapter.CONFIG, adapter.TENSORS):
        (links / name).symlink_to(Path("..") / "blobs" / name)
    assert folder.look(links) == folder.look(kept)
    (links / adapter.CONFIG).unlink()
    (links / adapter.CONFIG).symlink_to("/proc/self/status")
    with pytest.raises(WeightsError, match="leaves the volume"):
        folder.look(links)
